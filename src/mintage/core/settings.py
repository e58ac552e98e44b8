"""Settings: environment variables that begin with ``MINTAGE_``, each with a default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from mintage.core.errors import ConfigError
from mintage.core.messages import Language, Message, _, language_of
from mintage.core.types import Durability, ModelServer


class Settings(BaseSettings):
    """Where the workspace is and how the server listens."""

    model_config = SettingsConfigDict(
        env_prefix="MINTAGE_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    lang: Language | None = None
    """The language of what people read, `en` or `zh`; None takes the locale's."""
    home: Path = Path(".mintage")
    """The workspace's folder."""
    database_url: SecretStr | None = None
    """A PostgreSQL database, `postgresql+psycopg://…`; None: SQLite in the workspace's folder."""
    seal_key: str | None = None
    """Where the key-encryption key of a sealed workspace is: `file:PATH`, `env:NAME` or
    `SERVICE:ADDRESS`; None: where the workspace says. A workspace begun with it is sealed."""
    host: str = "127.0.0.1"
    """Where customers reach the server."""
    port: int = 8000
    """The customers' port; 0 takes any free one."""
    operator_host: str = "127.0.0.1"
    """Where /metrics, /docs and admin are reached."""
    operator_port: int = 8001
    """The operator's port; 0 takes any free one."""
    tls_cert: Path | None = None
    """Customers are served with TLS: the certificate's full chain, in PEM."""
    tls_key: Path | None = None
    """The certificate's private key, in PEM."""
    behind_proxy: str | None = None
    """A proxy has TLS: its addresses or networks, whose `X-Forwarded-*` headers are believed."""
    insecure: bool = False
    """Serve others than this machine without TLS."""
    max_upload_bytes: Annotated[int, Field(ge=1)] = 20_000_000
    """An upload larger than this is refused with 413 while it is read."""
    max_queue: Annotated[int, Field(ge=1)] = 256
    """Calls that may wait for inference; more are refused with 503."""
    max_body_bytes: Annotated[int, Field(ge=1)] = 512_000_000
    """Uploads in memory at once hold so much together; more are refused with 503."""
    decoders: Annotated[int, Field(ge=0, le=256)] = 0
    """Processes of their own in which a server decodes uploads, with bounded memory and time; 0:
    its own threads do."""
    deadline_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """How long an upload that is here waits for its answer; then it is a 504."""
    durability: Durability = "flush"
    """Where usage is before its answer leaves: `flush`, on the disk, so that it survives a power
    cut; `process`, with the database, so that it survives kill -9."""
    compute_cost: str | None = None
    """What an hour of one processor costs you, such as `0.05 EUR`; None: costs are not told."""
    log_origin: str | None = None
    """What tree heads call the audit log, such as `example.com/log`, from its first head on; None:
    it is named by its key."""
    heads_folder: Path | None = None
    """A folder, best on another machine, where `serve` puts tree heads of the audit log."""
    heads_seconds: Annotated[float, Field(ge=1, le=86_400 * 31)] = 3600.0
    """How often a new tree head is put there, and told by webhook as `log.head`."""
    seller: Path | None = None
    """A TOML file with your own invoicing details: what invoices say of who sells."""
    model_server: ModelServer = "auto"
    """What serves language models of your own; `auto` takes vLLM where it is installed."""
    font: Path | None = None
    """A font file for invoices as PDF; None: one is looked for where their letters need it."""
    overdue_days: str = "1,7,14"
    """So many days after an invoice was due it is told of as overdue, by webhook."""
    overdue_stop_days: Annotated[int, Field(ge=0, le=3650)] | None = None
    """So many days after an invoice was due its customer's calls are refused; None: never."""
    alipay_app_id: str | None = None
    """Your app at Alipay."""
    alipay_private_key: Path | None = None
    """The file with your app's private key (RSA2)."""
    alipay_public_key: Path | None = None
    """The file with Alipay's public key for your app."""
    alipay_notify_url: str | None = None
    """Where Alipay tells of payments: `https://YOUR-SERVER/v1/payments/alipay/webhook`."""
    alipay_url: str | None = None
    """Another gateway than Alipay's own, such as its sandbox's."""
    stripe_key: SecretStr | None = None
    """The secret key of your account at Stripe, by which invoices are pushed there."""
    stripe_webhook_secret: SecretStr | None = None
    """What Stripe's messages are verified with: the signing secret of your endpoint there."""
    stripe_url: str | None = None
    """Another address than Stripe's own, such as a stand-in's for trying out."""
    trial: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Free calls without a key in any 24 hours, all visitors' together; None allows none."""
    audit_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """So many days after an audit of a model the next is due."""
    feedback_bytes: Annotated[int, Field(ge=0)] = 1_000_000_000
    """Room for pictures that customers send with feedback, until they are collected; 0 is none."""
    max_batch: Annotated[int, Field(ge=1, le=1024)] = 32
    """Calls that are answered together at most."""
    batch_delay_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """How long a batch that is not full waits for more calls; 0: it takes what is there."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads for training and inference; None takes what the cgroup's CPU quota allows."""
    backbone: str | None = None
    """Pretrained weights that are at hand for `train`: a folder, or an id of the hub."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 10.0
    """How long calls in flight may finish after SIGTERM."""
    lame_duck_seconds: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 0.0
    """How long after SIGTERM calls are still taken, while it is not ready for a load balancer."""
    keep_alive_seconds: Annotated[int, Field(gt=0, le=3600)] = 75
    """How long a customer's idle connection stays open; a proxy's own limit has to be shorter."""
    log_format: Literal["json", "text"] | None = None
    """How a server logs; None means text to a terminal and JSON elsewhere."""

    @field_validator("lang", mode="before")
    @classmethod
    def _primary(cls, value: object) -> object:
        """``zh_CN.UTF-8`` is as good as ``zh``."""
        return language_of(value) or value if isinstance(value, str) else value


def load_settings(**overrides: object) -> Settings:
    """Read the settings; overrides that are None do not count.

    Raises:
        ConfigError: a variable has a value that cannot be one.
    """
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "MINTAGE_" + "_".join(str(part) for part in first["loc"]).upper()
        reason = Message(first["msg"])  # Pydantic's, known to the catalogue
        raise ConfigError(
            _("{name}: {reason} (got {given!r}).", name=name, reason=reason, given=first["input"]),
            remedy=_("Set it to another value, or unset it to have the default."),
        ) from error
