"""Django's settings, all from the environment; secrets come as files."""

from __future__ import annotations

import os
from pathlib import Path

from portal.journal import CONFIGURATION

BASE = Path(__file__).resolve().parent


def _secret(name: str) -> str:
    """The content of the file that the variable names."""
    return Path(os.environ[name]).read_text(encoding="utf-8").strip()


SECRET_KEY = _secret("PORTAL_KEY_FILE")
DEBUG = False
# Probes come by the pod's address; the load balancer passes only the portal's own name on.
ALLOWED_HOSTS = [os.environ["PORTAL_HOST"], *os.environ.get("PORTAL_PROBE_HOSTS", "").split()]
CSRF_TRUSTED_ORIGINS = [f"https://{os.environ['PORTAL_HOST']}"]

INSTALLED_APPS = ["django.contrib.sessions", "django.contrib.staticfiles", "portal"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "portal.headers.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "portal.surroundings.surroundings",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("DATABASE_HOST", ""),
        "PORT": os.environ.get("DATABASE_PORT", "5432"),
        "NAME": os.environ.get("DATABASE_NAME", ""),
        "USER": os.environ.get("DATABASE_USER", ""),
        "PASSWORD": _secret("DATABASE_PASSWORD_FILE"),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "sslmode": "verify-full",
            "sslrootcert": os.environ.get("ROOT_CERTIFICATE", ""),
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# An anonymous visitor's session is a signed cookie: nothing to clean up, nothing to leak.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_AGE = 3600
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "portal.views.stale"
SECURE_HSTS_SECONDS = 31_536_000
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
# A form holds one identifier.
DATA_UPLOAD_MAX_MEMORY_SIZE = 16_384
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20

LANGUAGE_CODE = "fr"
LANGUAGES = [("fr", "Français"), ("en", "English")]
LOCALE_PATHS = [BASE / "locale"]
FORMAT_MODULE_PATH = "portal.formats"
USE_I18N = True
USE_TZ = True
TIME_ZONE = os.environ.get("PORTAL_TIME_ZONE", "Africa/Porto-Novo")

STATIC_URL = "/static/"
STATICFILES_DIRS: list[Path] = []
# Files are few and small: WhiteNoise serves them from the package, without a collected copy.
WHITENOISE_USE_FINDERS = True
# Addresses change with the content (see surroundings), so a copy may be kept for long.
WHITENOISE_MAX_AGE = 31_536_000

LOGGING = CONFIGURATION

CATALOGUE_FILE = Path(os.environ["CATALOGUE_FILE"])
XROAD_URL = os.environ["XROAD_URL"]
XROAD_CLIENT = os.environ["XROAD_CLIENT"]
XROAD_TIMEOUT_SECONDS = 20.0
ROOT_CERTIFICATE = os.environ.get("ROOT_CERTIFICATE", "")
