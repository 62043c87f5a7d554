from django.apps import AppConfig


class StatsConfig(AppConfig):
    name = "stats"

    def ready(self):
        # As in real projects: whatever reads a command's output has to live with this.
        print("stats: counters start at zero")
