"""All settings, one file, driven by the environment (README, "Settings") and by what the embedded services say of themselves.

Out of `<data-dir>/services.json` come the addresses of an embedded PostgreSQL and Redis; DATABASE_URL and REDIS_URL go first.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
from csp.constants import NONE, SELF
from django.templatetags.static import static
from django.urls import reverse_lazy
from redis.backoff import NoBackoff
from redis.retry import Retry

from cxsurvey.carriers import read_email_url, read_rate

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent

# --- Where things lie -------------------------------------------------------------------------------------------------
CX_DATA_DIR = Path(env.str("CX_DATA_DIR", str(BASE_DIR / "var"))).resolve()


def _services() -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((CX_DATA_DIR / "services.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def _kept_secret(name: str) -> str:
    """A secret made once and kept 0600 in the data directory."""
    path = CX_DATA_DIR / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        CX_DATA_DIR.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text().strip()


SERVICES = _services()

# --- Security ---------------------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", "") or _kept_secret("secret-key")
BASE_URL = env.str("BASE_URL", SERVICES.get("base_url", "http://127.0.0.1:8000")).rstrip("/")
_public = urlsplit(BASE_URL)
_https = _public.scheme == "https"
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[]) or ["localhost", "127.0.0.1", "[::1]", _public.hostname or ""]
CSRF_TRUSTED_ORIGINS = [BASE_URL]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SECURE_SSL_REDIRECT = False  # the proxy that ends TLS redirects; probes and workers speak plain HTTP on loopback
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = False  # the organisation's other hosts are not ours to decide about
SECURE_HSTS_PRELOAD = False
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_NAME = f"cx_session_{_public.port or 0}"  # two servers on one host do not log each other out
CSRF_COOKIE_NAME = f"cx_csrf_{_public.port or 0}"
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS for subdomains: see above
    "security.W008",  # SSL redirect: see above
    "security.W021",  # HSTS preload: see above
]
# Where machines look at the links of letters; the default are networks that Microsoft lists for Exchange Online Protection
# ("Microsoft 365 URLs and IP address ranges"). Behind a proxy the visitor's address must reach us: docs/operations.md.
CX_SCANNER_NETWORKS = env.list(
    "CX_SCANNER_NETWORKS", default=["40.92.0.0/15", "40.107.0.0/16", "52.100.0.0/14", "104.47.0.0/17"]
)
# Respondents and embeds: nothing but our own files, no inline script or style.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
# Staff: the admin's Alpine needs eval and inline styles. Own host only all the same (cxsurvey.middleware).
CX_STAFF_CSP = {
    "default-src": [SELF],
    "script-src": [SELF, "'unsafe-eval'", "'unsafe-inline'"],
    "style-src": [SELF, "'unsafe-inline'"],
    "img-src": [SELF, "data:"],
    "font-src": [SELF, "data:"],
    "connect-src": [SELF],
    "frame-src": [SELF],
    "form-action": [SELF],
    "base-uri": [NONE],
    "frame-ancestors": [SELF],
}

# --- Applications -----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",  # with FORM_RENDERER: widgets of ours have their templates beside all others
    "rest_framework",
    "rest_framework_api_key",  # its abstract key is ours; its own model stays empty and out of the admin
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "csp",
    "django_prometheus",
    "surveys",
    "metrics",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "cxsurvey.middleware.DatabaseAwayMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "cxsurvey.middleware.PolicyMiddleware",
    "cxsurvey.middleware.StaffClockMiddleware",
    "cxsurvey.middleware.StaffSessionMiddleware",
    "cxsurvey.middleware.StaffLocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "cxsurvey.middleware.StaffAuthenticationMiddleware",
    "cxsurvey.middleware.StaffMessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
ROOT_URLCONF = "cxsurvey.urls"
WSGI_APPLICATION = "cxsurvey.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database ---------------------------------------------------------------------------------------------------------
_database_url = env.str("DATABASE_URL", "") or SERVICES.get("database_url", "")
DATABASES: dict[str, dict[str, Any]] = {
    "default": environ.Env.db_url_config(_database_url)
    if _database_url
    else {"ENGINE": "django.db.backends.postgresql", "NAME": "cxsurvey", "HOST": str(CX_DATA_DIR)}
}
DATABASES["default"]["HOST"] = unquote(DATABASES["default"]["HOST"])  # a socket's directory is percent-encoded
DATABASES["default"] |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 3)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Broker and cache: Redis, or files and the database where there is none -------------------------------------------
REDIS_URL = env.str("REDIS_URL", "") or SERVICES.get("redis_url", "")
if REDIS_URL:
    # kombu and redis-py name a socket differently.
    CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "socket_connect_timeout": 0.2,
        "socket_timeout": 5,
        "retry_on_timeout": False,
        "max_retries": 0,
    }
    CACHES: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "cx",
            # A Redis that takes connections and says nothing must not hold a probe, nor a worker's sign of life.
            "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)},
        }
    }
else:
    _spool = CX_DATA_DIR / "spool"
    CELERY_BROKER_URL = "filesystem://"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_spool / "tasks"),
        "data_folder_out": str(_spool / "tasks"),
        "control_folder": str(_spool / "control"),
        "store_processed": False,
    }
    for _folder in ("tasks", "control"):
        (_spool / _folder).mkdir(parents=True, exist_ok=True)
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cxsurvey_cache"}}

CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True  # tasks are safe to repeat, so a killed worker's task may run again
CELERY_TASK_REJECT_ON_WORKER_LOST = False  # …but beat brings it back anyway; a poisonous one must not loop
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TASK_SOFT_TIME_LIMIT = 120
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_MAX_LOOP_INTERVAL = 1

# --- Mail: docs/email.md ----------------------------------------------------------------------------------------------
_email = read_email_url(env.str("EMAIL_URL", ""), BASE_URL)
CX_LOCAL_MAILBOX = not env.str("EMAIL_URL", "")
CX_EMAIL_PROVIDER = _email.provider  # anymail's name of it; "" for SMTP
CX_EMAIL_IS_HEARD = _email.is_heard  # its webhooks carry a proof
CX_EMAIL_PROBLEM = _email.problem  # said by a system check; mail waits meanwhile
vars().update(_email.settings)
EMAIL_RATE, _email_rate_problem = read_rate("EMAIL_RATE", env.str("EMAIL_RATE", ""))  # messages per second; 0: no limit
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", f"survey@{_public.hostname or 'localhost'}")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
# An address whose mails reach `manage.py take_mail`: letters name it for unsubscribing, beside the web. docs/email.md
UNSUBSCRIBE_MAILTO = env.str("UNSUBSCRIBE_MAILTO", "")

# --- Text messages: docs/sms.md ---------------------------------------------------------------------------------------
SMS_URL = env.str("SMS_URL", "")  # unset: texts stay in the local mailbox
SMS_RATE, _sms_rate_problem = read_rate("SMS_RATE", env.str("SMS_RATE", ""))
CX_RATE_PROBLEMS = [problem for problem in (_email_rate_problem, _sms_rate_problem) if problem]
SMS_PRICE = env.str("SMS_PRICE", "")  # of one segment, such as "0.0079 USD": shown beside a rule's text

# --- Languages and time -----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "cxsurvey.formats"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"  # the organisation's own zone is a row
CX_TIME_ZONE = env.str("CX_TIME_ZONE", "UTC")

# --- Static files -----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = CX_DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_MANIFEST_STRICT = False

# --- Who may come in --------------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_ENABLE_ADMIN = False  # its lists are not in the staff pages' look, and a lock opens by itself
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("overview")  # whoever came to the login itself

# --- REST -------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "surveys.api.base.problem_handler",
    # Every view of ours says who may come in (surveys.api.base.CxView); one that forgot lets nobody in.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "cxsurvey",
    "DESCRIPTION": "Interaction events in; invitations, answers, and NPS, CSAT, CES and TTR out.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Limits -----------------------------------------------------------------------------------------------------------
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = (
    20_000  # an instrument's thirty questions in twenty-six languages; 4 MB bound them anyway
)
CX_METRICS_TOKEN = env.str("CX_METRICS_TOKEN", "")  # for /metrics from elsewhere than loopback

# --- Logs -------------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "filters": {"quiet_outages": {"()": "cxsurvey.logs.QuietOutages"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["quiet_outages"]}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", "WARNING")},
    "loggers": {"axes": {"level": "WARNING"}},
}

# --- Staff pages ------------------------------------------------------------------------------------------------------
# The accent of form.css; 600 carries white text (5.5 : 1), 500 is text on the dark ground.
_ACCENT = {
    "50": "#f0fdfa",
    "100": "#ccfbf1",
    "200": "#99f6e4",
    "300": "#5eead4",
    "400": "#2dd4bf",
    "500": "#14b8a6",
    "600": "#0f766e",
    "700": "#115e59",
    "800": "#134e4a",
    "900": "#0f3f3c",
    "950": "#042f2e",
}
UNFOLD = {
    "SITE_TITLE": "cxsurvey",
    "SITE_HEADER": "cxsurvey",
    "SITE_SYMBOL": "sentiment_satisfied",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("mark.svg")}],
    "SHOW_LANGUAGES": True,
    "STYLES": [lambda request: static("staff.css")],
    "COLORS": {"primary": _ACCENT},
    "GLOBAL_CALLBACK": "cxsurvey.navigation.frame",
    "SIDEBAR": {"navigation": "cxsurvey.navigation.sidebar"},
}
