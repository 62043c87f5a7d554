from django.db import models


class League(models.Model):
    name = models.CharField(max_length=80, unique=True)
    country = models.CharField(max_length=60)
    code = models.CharField(max_length=10, blank=True, default="", db_collation="code_order")


class Team(models.Model):
    name = models.CharField(max_length=80)
    leagues = models.ManyToManyField(League, through="Membership", related_name="teams")
    badge = models.ForeignKey(
        "media_manager.MediaAsset", on_delete=models.SET_NULL, null=True, blank=True, related_name="badge_of"
    )


class Membership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    league = models.ForeignKey(League, on_delete=models.CASCADE)
    season = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "league", "season"], name="team_once_a_season")]


class Fixture(models.Model):
    league = models.ForeignKey(League, on_delete=models.CASCADE, related_name="fixtures")
    home = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="home_fixtures")
    away = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="away_fixtures")
    kick_off = models.DateTimeField(db_index=True)
    home_goals = models.SmallIntegerField(null=True, blank=True)
    away_goals = models.SmallIntegerField(null=True, blank=True)
    raw = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~models.Q(home=models.F("away")), name="fixture_has_two_teams"),
        ]


class Market(models.Model):
    fixture = models.ForeignKey(Fixture, on_delete=models.CASCADE, related_name="markets")
    name = models.CharField(max_length=60)

    class Meta:
        unique_together = [("fixture", "name")]


class Outcome(models.Model):
    market = models.ForeignKey(Market, on_delete=models.CASCADE, related_name="outcomes")
    label = models.CharField(max_length=60)
    odds = models.DecimalField(max_digits=8, decimal_places=3)
    won = models.BooleanField(null=True)


class Prediction(models.Model):
    fixture = models.OneToOneField(Fixture, on_delete=models.CASCADE, primary_key=True, related_name="prediction")
    home = models.FloatField()
    draw = models.FloatField()
    away = models.FloatField()
