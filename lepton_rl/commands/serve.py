"""`lepton-rl serve`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from lepton_rl.commands.progress import log
from lepton_rl.core.errors import ConfigError, InputFileError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import Policy
from lepton_rl.core.settings import load_settings, read_yaml
from lepton_rl.integrations.http.policies import ServedPolicies
from lepton_rl.integrations.http.server import bind, make_server
from lepton_rl.integrations.http.service import Made, Service
from lepton_rl.integrations.http.settings import ServeSettings
from lepton_rl.integrations.local import LocalExecutor
from lepton_rl.policies.audit import AuditedPolicy
from lepton_rl.policies.audit_file import BoundedLines
from lepton_rl.policies.guard import GuardedPolicy, GuardSettings
from lepton_rl.policies.named import policy_named
from lepton_rl.policies.rollout import CanaryPolicy, ShadowPolicy
from lepton_rl.system import Scheduler, SimulatedExecutor
from lepton_rl.system.executor import Executor
from lepton_rl.system.journal import Journal
from lepton_rl.system.monitor import Monitor
from lepton_rl.system.monitor.monitor import Listener

__all__ = ["TOKEN_VARIABLE", "ServeRequest", "make_service", "run_service"]

TOKEN_VARIABLE = "LEPTON_TOKEN"  # noqa: S105  # a name, not a token
_KEEP_ENDED = 10_000
_AUDIT_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """What was asked for on the command line.

    Attributes:
        cluster: YAML file of the machines.
        policy: file, shipped name or heuristic.
        fallback: heuristic behind it.
        executor: `local` or `simulated`.
        run_dir: of the local executor.
        journal: path or URL; None for none.
        settings: YAML file with `http` and `guard`; None for the defaults.
        candidate: a second policy; None for none.
        canary: share of instants at which it decides; None: it is only compared.
        audit: file for the records of decisions; None for none.
        overrides: fields of `ServeSettings`.
    """

    cluster: Path
    policy: str = "fcfs+easy"
    fallback: str = "fcfs+easy"
    executor: str = "local"
    run_dir: Path = Path("runs/serve")
    journal: str | None = None
    settings: Path | None = None
    candidate: str | None = None
    canary: float | None = None
    audit: Path | None = None
    overrides: tuple[tuple[str, object], ...] = ()


def run_service(request: ServeRequest, token_file: Path | None) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        LeptonError: a file, name or number is wrong, or the address cannot be had.
    """
    try:
        from lepton_rl.integrations.http.app import create_app
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"serve needs {error.name}; install it with: pip install 'lepton-rl[serve]'"
        ) from error
    http, guard = _settings(request, token_file)
    was_given = http.token is not None
    http = http.with_token()
    assert http.token is not None
    with bind(http) as listening:
        app = create_app(make_service(request, guard, http.keep_events), http)
        host, port = listening.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        secret = "" if was_given else f"/#token={http.token.get_secret_value()}"
        log(f"serving on {url}{secret}")
        make_server(app).run(sockets=[listening])


def make_service(request: ServeRequest, guard: GuardSettings, keep_events: int) -> Service:
    """The service that was asked for, not started."""
    cluster = Cluster.from_yaml(request.cluster)
    executor = _executor_maker(request)

    def make(policy: Policy, listener: Listener) -> Made:
        journal = None if request.journal is None else Journal.open(request.journal)
        try:
            monitor = Monitor(cluster, keep_ended=_KEEP_ENDED, on_event=listener)
            scheduler = Scheduler(
                cluster, policy, executor(), monitor, strict=False, journal=journal
            )
        except BaseException:
            if journal is not None:
                journal.close()
            raise
        if isinstance(policy, AuditedPolicy):
            policy.name_of = lambda local: scheduler.queue.task_at(local).id
        return Made(scheduler, journal)

    policies = ServedPolicies(
        lambda: policy_named(request.policy), request.fallback, guard, _wrapper(request, guard)
    )
    if request.audit is not None:
        stream = BoundedLines(request.audit, _AUDIT_BYTES)
        policies.acting = AuditedPolicy(policies.acting, stream, lambda: policies.current)
    return Service(make, policies, keep_events)


def _settings(
    request: ServeRequest, token_file: Path | None
) -> tuple[ServeSettings, GuardSettings]:
    data = read_yaml(request.settings) if request.settings is not None else {}
    where = str(request.settings or "serve")
    if not isinstance(data, dict) or not set(data) <= {"http", "guard"}:
        raise ConfigError(f"{where}: expected the keys http and guard, each with settings")
    http = {**(data.get("http") or {}), **dict(request.overrides)}
    token = _token(token_file)
    if token is not None:
        http["token"] = SecretStr(token)
    return (
        load_settings(ServeSettings, http, f"{where}: http"),
        load_settings(GuardSettings, data.get("guard"), f"{where}: guard"),
    )


def _token(token_file: Path | None) -> str | None:
    """From a file, else from the environment; never from the command line, which others see."""
    if token_file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        return token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputFileError(f"cannot read {token_file}: {error.strerror}") from error
    except ValueError as error:
        raise InputFileError(f"cannot read {token_file}: expected text, got {error}") from error


def _executor_maker(request: ServeRequest) -> Callable[[], Executor]:
    known: dict[str, Callable[[], Executor]] = {
        "local": lambda: LocalExecutor(request.run_dir),
        "simulated": SimulatedExecutor,
    }
    if request.executor not in known:
        hint = did_you_mean(request.executor, known)
        raise ConfigError(f"--executor: unknown name {request.executor!r}; {hint}")
    return known[request.executor]


def _wrapper(request: ServeRequest, guard: GuardSettings) -> Callable[[Policy], Policy] | None:
    if request.candidate is None:
        if request.canary is not None:
            raise ConfigError("--canary needs --candidate, the policy that gets the share")
        return None
    candidate = policy_named(request.candidate)
    if request.canary is None:
        return lambda primary: ShadowPolicy(primary, candidate)
    guarded = GuardedPolicy(candidate, policy_named(request.fallback), guard)
    share = request.canary
    return lambda primary: CanaryPolicy(primary, guarded, share)
