"""The command line: `lepton-rl train|evaluate|protocols|report|simulate|export|workload`.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

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
    json_: JsonOption = False,
) -> None:
    """Train a policy, export it, load it back and compare it with every heuristic."""
    from lepton_rl.commands.train import run_training

    text, interrupted = run_training(
        config, set_ or [], out, workload, seed, device, resume=resume, as_json=json_
    )
    typer.echo(text, nl=False)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status.
    """
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
