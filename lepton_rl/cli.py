"""The command line, `lepton-rl COMMAND`: from training over evaluation to serving.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lepton_rl.core.errors import LeptonError
from lepton_rl.core.version import VERSION

__all__ = ["app", "main"]

app = typer.Typer(
    name="lepton-rl",
    help="Learned scheduling of AI tasks on clusters of unlike machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
workload_app = typer.Typer(help="Look at workloads and generate them.", no_args_is_help=True)
app.add_typer(workload_app, name="workload")
attach_app = typer.Typer(help="Steer a scheduler that is there already.", no_args_is_help=True)
app.add_typer(attach_app, name="attach")
policies_app = typer.Typer(help="The policies that come with the package.", no_args_is_help=True)
app.add_typer(policies_app, name="policies")

INTERRUPTED = 130

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="A shipped configuration by name, or a YAML file; default hpc, or that of the run.",
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, e.g. ppo.epochs=6; repeatable.")
]
WorkloadSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="One setting, e.g. environment.workload.prediction.kind=class-quantiles; repeatable.",
    ),
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
WorkloadOption = Annotated[
    str, typer.Option("--workload", help="A trace or a configuration's name.")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lepton-rl {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command()
def train(
    config: ConfigOption = None,
    set_: SetOption = None,
    out: OutOption = Path("runs/default"),
    workload: Annotated[
        str | None, typer.Option(help="A trace to train on instead of the configured workload.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from --out.")] = False,
    ray_workers: Annotated[
        int, typer.Option(min=0, help="Processes on Ray that train along, one core each.")
    ] = 0,
    json_: JsonOption = False,
) -> None:
    """Train a policy, export it, load it back and compare it with every heuristic."""
    from lepton_rl.commands.train import run_training

    text, interrupted = run_training(
        config, set_ or [], out, workload, seed, device,
        resume=resume, ray_workers=ray_workers, as_json=json_,
    )  # fmt: skip
    typer.echo(text, nl=False)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def sweep(
    config: Annotated[
        str, typer.Option("--config", help="A shipped configuration by name, or a YAML file.")
    ] = "hpc",
    trials: Annotated[
        int, typer.Option(min=1, help="Trials in --out, earlier ones included.")
    ] = 20,
    search: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            help="A setting to search: name=low:high[:log] or name=one|other. Repeatable.",
        ),
    ] = None,
    set_: SetOption = None,
    out: OutOption = Path("runs/sweep"),
    backend: Annotated[str, typer.Option(help="processes (this one) or ray.")] = "processes",
    jobs: Annotated[int, typer.Option(min=1, help="Trials at a time, over ray.")] = 1,
    json_: JsonOption = False,
) -> None:
    """Search for settings that do well on the validation windows; goes on where it stopped."""
    from lepton_rl.commands.sweep import run_sweep

    text = run_sweep(
        config, set_ or [], search or [], trials, out, backend=backend, jobs=jobs, as_json=json_
    )
    typer.echo(text, nl=False)


@app.command()
def evaluate(
    workload: Annotated[
        str | None,
        typer.Option("--workload", help="A trace or a configuration's name; default hpc."),
    ] = None,
    policy: Annotated[
        list[Path] | None, typer.Option("--policy", help="A trained policy; repeatable.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="Which protocol; `lepton-rl protocols` lists them.")
    ] = "heldout",
    split: Annotated[str, typer.Option(help="heldout: train, validation or test.")] = "test",
    windows: Annotated[int | None, typer.Option(help="heldout: at most so many windows.")] = None,
    length: Annotated[int, typer.Option(help="heldout: tasks of a window.")] = 256,
    backfill: Annotated[
        str | None, typer.Option(help="heldout: none, easy or conservative.")
    ] = None,
    heuristic: Annotated[
        list[str] | None, typer.Option("--heuristic", help="Only these; default all. Repeatable.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="LEPTON_DATA", help="fgd, gpu-training, requests: where traces are."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="fgd: runs of each rule.")] = 10,
    hindsight: Annotated[
        int,
        typer.Option(min=0, help="Replays a window to search for the best schedule; 0 for none."),
    ] = 0,
    jobs: Annotated[int, typer.Option(help="Processes that share the work.")] = 1,
    backend: Annotated[str, typer.Option(help="processes or ray.")] = "processes",
    out: Annotated[Path | None, typer.Option(help="Folder for results, for a report.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from --out.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap intervals.")] = 0,
    set_: WorkloadSetOption = None,
    json_: JsonOption = False,
) -> None:
    """Compare policies and heuristics on the same windows and say who wins."""
    from lepton_rl.commands.evaluate import EvaluateRequest, Execution, run_evaluation

    request = EvaluateRequest(
        workload=workload,
        policies=tuple(policy or ()),
        protocol=protocol,
        split=split,
        windows=windows,
        length=length,
        backfill=backfill,
        heuristics=tuple(heuristic or ()),
        seed=seed,
        overrides=tuple(set_ or ()),
        data=data,
        seeds=seeds,
        hindsight=hindsight,
    )
    execution = Execution(jobs, backend, out, resume)
    typer.echo(run_evaluation(request, execution, as_json=json_), nl=False)


@app.command()
def protocols(json_: JsonOption = False) -> None:
    """List the protocols of evaluate: name, version, what each measures and on what."""
    from lepton_rl.commands.trace_sets import list_protocols

    typer.echo(list_protocols(as_json=json_), nl=False)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder that train or evaluate --out has left.")],
    format_: Annotated[str, typer.Option("--format", help="html, json, csv or md.")] = "html",
    out: Annotated[Path | None, typer.Option(help="File to write; default in the folder.")] = None,
    json_: JsonOption = False,
) -> None:
    """Write one page about a run: verdict, figures with intervals, schedules, explanations."""
    from lepton_rl.commands.report import run_report

    typer.echo(run_report(run, format_, out, as_json=json_), nl=False)


@app.command()
def simulate(
    workload: WorkloadOption = "hpc",
    policy: Annotated[
        str, typer.Option(help="A heuristic such as f4+easy, or a policy file.")
    ] = "fcfs+easy",
    first: Annotated[int, typer.Option(help="First task.")] = 0,
    tasks: Annotated[int | None, typer.Option(help="Number of tasks; default all.")] = None,
    record: Annotated[
        Path | None, typer.Option(help="Write an animation of it: .gif, .apng or .png.")
    ] = None,
    set_: WorkloadSetOption = None,
    json_: JsonOption = False,
) -> None:
    """Run a workload through the real Scheduler with a simulated executor."""
    from lepton_rl.commands.simulate import run_simulation

    text = run_simulation(workload, policy, first, tasks, set_ or [], as_json=json_, record=record)
    typer.echo(text, nl=False)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    out: Annotated[Path | None, typer.Option(help="Default: policy.onnx in the folder.")] = None,
    json_: JsonOption = False,
) -> None:
    """Write the best policy of a run, finished or stopped, as one file."""
    from lepton_rl.commands.export import run_export

    typer.echo(run_export(run, out, as_json=json_), nl=False)


@app.command()
def bench(
    config: Annotated[
        str, typer.Option("--config", help="A shipped configuration by name, or a YAML file.")
    ] = "hpc",
    environments: Annotated[
        list[int] | None,
        typer.Option("--environments", min=1, help="Batch sizes; default 1, 64 and 1024."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Of each measurement.")] = 2.0,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """How fast the environment of a configuration steps on this machine."""
    from lepton_rl.commands.bench import run_benchmark

    sizes = environments or [1, 64, 1024]
    typer.echo(run_benchmark(config, set_ or [], sizes, seconds, as_json=json_), nl=False)


@attach_app.command()
def slurm(
    policy: Annotated[str, typer.Option(help="A heuristic such as f4, or a policy file.")] = "f4",
    mode: Annotated[str, typer.Option(help="priority or placement.")] = "priority",
    state: Annotated[
        Path, typer.Option(help="Folder of the decision log; one attachment at a time.")
    ] = Path("runs/slurm"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands of one round; send nothing.")
    ] = False,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Go on deciding, write it down, send nothing.")
    ] = False,
    release_all: Annotated[
        bool, typer.Option("--release-all", help="Give all jobs we hold back to Slurm, and end.")
    ] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="End after so many rounds.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, e.g. interval_s=1; repeatable."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Let a policy order, or place, the pending jobs of a Slurm cluster."""
    from lepton_rl.commands.attach import AttachRequest, run_attach

    request = AttachRequest(
        policy, mode, state, dry_run, shadow, release_all, rounds, tuple(set_ or ())
    )
    typer.echo(run_attach(request, as_json=json_), nl=False)


@app.command()
def inspect(
    policy: Annotated[str, typer.Argument(help="A policy file, or the name of a shipped one.")],
    json_: JsonOption = False,
) -> None:
    """What a policy file says of itself, after it was verified."""
    from lepton_rl.commands.policy_files import run_inspection

    typer.echo(run_inspection(policy, as_json=json_), nl=False)


@app.command()
def verify(
    policies: Annotated[
        list[str], typer.Argument(help="Policy files; exit status 1 if one is bad.")
    ],
    json_: JsonOption = False,
) -> None:
    """Check policy files: checksum, schema, inputs and outputs, parity sample."""
    from lepton_rl.commands.policy_files import run_verification

    text, all_good = run_verification(policies, as_json=json_)
    typer.echo(text, nl=False)
    if not all_good:
        raise typer.Exit(1)


@app.command()
def explain(
    policy: Annotated[str, typer.Argument(help="A policy file, a shipped name or a heuristic.")],
    state: Annotated[
        Path, typer.Argument(help="JSON file with nodes, pending and running, as /v1/decide takes.")
    ],
    features: Annotated[int, typer.Option(min=1, help="At most so many features.")] = 8,
    json_: JsonOption = False,
) -> None:
    """Say what a policy would decide, and why."""
    from lepton_rl.commands.explain import run_explanation

    typer.echo(run_explanation(policy, state, features, as_json=json_), nl=False)


@app.command()
def replay(
    policy: Annotated[str, typer.Argument(help="A policy file, a shipped name or a heuristic.")],
    journal: Annotated[
        str | None, typer.Option(help="A journal: what the policy would have done with its tasks.")
    ] = None,
    workload: Annotated[
        str | None, typer.Option(help="Or a trace, or a configuration's name.")
    ] = None,
    against: Annotated[str, typer.Option(help="A heuristic to compare with.")] = "fcfs",
    backfill: Annotated[str, typer.Option(help="none, easy or conservative; for both.")] = "easy",
    blocks: Annotated[int, typer.Option(min=1, help="Blocks of tasks that are compared.")] = 20,
    tasks: Annotated[int | None, typer.Option(min=1, help="Only the last so many tasks.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap intervals.")] = 0,
    set_: WorkloadSetOption = None,
    json_: JsonOption = False,
) -> None:
    """What a policy would have done with the tasks of a journal or trace, with intervals."""
    from lepton_rl.commands.replay import ReplayRequest, run_replay

    request = ReplayRequest(
        policy, journal, workload, against, backfill, blocks, tasks, seed, tuple(set_ or ())
    )
    typer.echo(run_replay(request, as_json=json_), nl=False)


@app.command()
def serve(
    cluster: Annotated[Path, typer.Option(help="YAML file that describes the machines.")],
    policy: Annotated[
        str, typer.Option(help="A heuristic, a policy file or a shipped policy.")
    ] = "fcfs+easy",
    fallback: Annotated[
        str, typer.Option(help="The heuristic that decides where the policy fails.")
    ] = "fcfs+easy",
    executor: Annotated[str, typer.Option(help="local or simulated.")] = "local",
    run_dir: Annotated[Path, typer.Option(help="local: keeps output and exit status.")] = Path(
        "runs/serve"
    ),
    journal: Annotated[
        str | None, typer.Option(help="A SQLite file or a SQLAlchemy URL; default none.")
    ] = None,
    candidate: Annotated[
        str | None, typer.Option(help="A second policy: compared, or see --canary.")
    ] = None,
    canary: Annotated[
        float | None, typer.Option(help="Share of instants at which the candidate decides.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file with http and guard.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Default 8470; 0 for any.")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="May listen where other machines reach it.")
    ] = False,
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="Scheduler-extender endpoints, without token.")
    ] = False,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token; default LEPTON_TOKEN, else random.")
    ] = None,
    audit: Annotated[
        Path | None, typer.Option(help="File that gets a line of JSON for each decision.")
    ] = None,
) -> None:
    """Run a live scheduler with an HTTP API and a page that shows it, until it is stopped."""
    from lepton_rl.commands.serve import ServeRequest, run_service

    given = {"host": host, "port": port, "allow_remote": allow_remote, "kubernetes": kubernetes}
    request = ServeRequest(
        cluster=cluster,
        policy=policy,
        fallback=fallback,
        executor=executor,
        run_dir=run_dir,
        journal=journal,
        settings=config,
        candidate=candidate,
        canary=canary,
        audit=audit,
        overrides=tuple(
            (name, value)
            for name, value in given.items()
            if value is not None and value is not False
        ),
    )
    run_service(request, token_file)


@policies_app.command("list")
def list_(json_: JsonOption = False) -> None:
    """Name, purpose, training workload, result against the best heuristic, checksum."""
    from lepton_rl.commands.policies import list_policies

    typer.echo(list_policies(as_json=json_), nl=False)


@policies_app.command()
def card(
    name: Annotated[str, typer.Argument(help="Name of a shipped policy.")],
    json_: JsonOption = False,
) -> None:
    """Print a model card: data, split, seeds, figures with intervals, losses, limits."""
    from lepton_rl.commands.policies import show_card

    typer.echo(show_card(name, as_json=json_), nl=False)


@policies_app.command()
def check(
    name: Annotated[str, typer.Argument(help="Name of a shipped policy.")],
    windows: Annotated[
        int | None, typer.Option(min=1, help="So many of the card's windows; default all.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Measure a shipped policy again; exit status 1 unless its card is borne out."""
    from lepton_rl.commands.policies import check_policy

    text, holds = check_policy(name, windows, as_json=json_)
    typer.echo(text, nl=False)
    if not holds:
        raise typer.Exit(1)


@policies_app.command()
def publish(
    run: Annotated[Path, typer.Argument(help="Folder of a finished training run.")],
    name: Annotated[
        str, typer.Option(help="Of the policy, and of the shipped configuration of the run.")
    ],
    folder: Annotated[
        Path | None, typer.Option(help="Where to; default with the shipped policies.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Write the policy of a run and its model card as a shipped policy."""
    from lepton_rl.commands.policies import publish_policy

    typer.echo(publish_policy(run, name, folder, as_json=json_), nl=False)


@workload_app.command()
def describe(
    workload: Annotated[str, typer.Argument(help="A trace or a configuration's name.")],
    set_: WorkloadSetOption = None,
    json_: JsonOption = False,
) -> None:
    """Figures of a workload: size, load, run times, rows left out, accuracy of estimates."""
    from lepton_rl.commands.workload import describe_workload

    typer.echo(describe_workload(workload, set_ or [], as_json=json_), nl=False)


@workload_app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A trace or a configuration's name.")],
    target: Annotated[Path, typer.Argument(help="File to write, .npz.")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="One setting, e.g. environment.workload.settings.nodes=60; repeatable."
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Write a workload, with its cluster, as one file that loads in a moment."""
    from lepton_rl.commands.workload_files import convert_workload

    typer.echo(convert_workload(source, target, set_ or [], as_json=json_), nl=False)


@workload_app.command()
def generate(
    target: Annotated[Path, typer.Argument(help="File to write, .npz.")],
    generator: Annotated[str, typer.Option(help="Which generator.")] = "lublin",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting of it, e.g. load=0.9; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Generate a workload into a file."""
    from lepton_rl.commands.workload_files import generate_workload

    typer.echo(generate_workload(target, generator, set_ or [], seed, as_json=json_), nl=False)


class _OnStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(record.getMessage(), err=True)


def _show_compilation() -> None:
    """Show the line that tells why the first command takes longer."""
    logger = logging.getLogger("lepton_rl.compilation")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        logger.addHandler(_OnStderr())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status.
    """
    _show_compilation()
    try:
        result: Any = app(
            args=list(arguments) if arguments is not None else None, standalone_mode=False
        )
        return int(result or 0)
    except typer.Exit as stop:
        return stop.exit_code
    except LeptonError as error:
        return _fail(str(error), error.exit_status)
    except OSError as error:  # files to read raise LeptonError; these are files to write
        named = f" {error.filename}" if error.filename else ""
        return _fail(f"cannot write{named}: {error.strerror or error}", 1)
    except ModuleNotFoundError as error:
        if error.name == "optuna":
            return _fail("optuna is missing; install it with: pip install 'lepton-rl[sweep]'", 1)
        extra = {"torch", "gymnasium", "stable_baselines3", "sb3_contrib", "onnx", "onnxscript"}
        if error.name not in extra:
            raise
        return _fail(f"{error.name} is missing; install it with: pip install 'lepton-rl[train]'", 1)
    except KeyboardInterrupt:
        return _fail("stopped", INTERRUPTED)
    except Exception as error:
        if not hasattr(error, "exit_code"):  # click's own errors carry their status
            raise
        format_message = getattr(error, "format_message", None)
        return _fail(format_message() if format_message else str(error), int(error.exit_code))


def _fail(message: str, status: int) -> int:
    if message:  # without arguments, click has shown the help
        print(f"error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
