"""Settings of the HTTP service."""

from __future__ import annotations

import ipaddress
import secrets

from pydantic import Field, SecretStr

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.settings import Settings

__all__ = ["ServeSettings", "require_safe_address"]

_SHORTEST_TOKEN = 16


class ServeSettings(Settings):
    """How the service is reached.

    Attributes:
        token: who has it may do everything, also run commands; None makes a random one.
        host: address to listen on.
        port: 0 for any that is free.
        allow_remote: may listen on an address that other machines reach. There is no encryption:
            put a proxy with TLS in front.
        hosts: names by which clients may call it (`Host` header), besides `host` and localhost.
        max_body_bytes: of a request.
        keep_events: decisions and incidents that are shown, the latest.
        policy_folder: where `/v1/policy/reload` may take policy files from; None forbids it.
        kubernetes: offer the scheduler-extender endpoints, which cannot carry a token.
    """

    token: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(8470, ge=0, le=65_535)
    allow_remote: bool = False
    hosts: tuple[str, ...] = ()
    max_body_bytes: int = Field(1_048_576, ge=1024)
    keep_events: int = Field(200, ge=1, le=100_000)
    policy_folder: str | None = None
    kubernetes: bool = False

    def with_token(self) -> ServeSettings:
        """The same with a token, a random one where there was none.

        Raises:
            ConfigError: a token that is too short to be safe.
        """
        if self.token is None:
            return self.model_copy(update={"token": SecretStr(secrets.token_urlsafe(32))})
        if len(self.token.get_secret_value()) < _SHORTEST_TOKEN:
            raise ConfigError(
                f"serve: token: expected at least {_SHORTEST_TOKEN} characters; make one with:"
                ' python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        return self


def require_safe_address(settings: ServeSettings) -> None:
    """Refuse an address that other machines reach, unless that is wanted.

    Raises:
        ConfigError: it is one, and `allow_remote` is off.
    """
    if settings.allow_remote or settings.host == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ConfigError(
            f"serve: host: {settings.host!r} may be reached from other machines, and who has the"
            " token may run commands; listen on 127.0.0.1, or say --allow-remote"
        )
