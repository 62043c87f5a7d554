from django.db import models


class CaseInsensitiveEmailField(models.EmailField):
    """An e-mail address that compares without regard to case; needs the citext extension."""

    def db_type(self, connection):
        return "citext"
