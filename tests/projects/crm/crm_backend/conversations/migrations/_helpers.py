"""Used by this app's data migrations; not a migration itself."""

LANGUAGES = {"263": "en", "258": "pt", "33": "fr"}


def language_of(whatsapp_id):
    return next((language for prefix, language in LANGUAGES.items() if whatsapp_id.startswith(prefix)), "en")
