"""The command and its verbs. Heavy imports wait until a verb needs them."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness import __version__
from harness.cli import words
from harness.cli.baseline_app import baseline_app
from harness.cli.compare_verb import compare
from harness.cli.ending import end_with
from harness.cli.exchange_app import export, import_app, slo_app
from harness.cli.forms import RESULTS, Form, Out, Output
from harness.cli.load_app import load_app
from harness.errors import ExitCode, InvalidError

EPILOG = (
    "Examples: `harness demo` shows everything in under a minute; "
    "`harness run scenarios/quickstart.yaml -o json` is for machines. "
    "Exit codes: `harness explain`."
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=EPILOG,
    help="Load, fault, verdict: one scenario file tells whether users noticed.",
)
stack_app = typer.Typer(no_args_is_help=True, help="The system under test: up, down, attach.")
faults_app = typer.Typer(invoke_without_command=True, help="Faults that are not proven healed.")
app.add_typer(load_app, name="load")
app.add_typer(stack_app, name="stack")
app.add_typer(faults_app, name="faults")
app.add_typer(baseline_app, name="baseline")
app.add_typer(import_app, name="import")
app.add_typer(slo_app, name="slo")
app.command()(export)


class Document(StrEnum):
    """What a stored run can be rendered as."""

    HTML = "html"
    TEXT = "text"
    MARKDOWN = "markdown"
    JUNIT = "junit"


class Schema(StrEnum):
    """Documents that have a published schema."""

    SCENARIO = "scenario"
    RESULT = "result"
    PREVIEW = "preview"


class Driver(StrEnum):
    """Drivers that can bring a stack up."""

    LOCAL = "local"
    COMPOSE = "compose"
    KUBERNETES = "kubernetes"


Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
Namespace = Annotated[str | None, typer.Option("-n", "--namespace", help="Its namespace.")]
Project = Annotated[str | None, typer.Option("-p", "--project", help="Compose project.")]


def main() -> None:
    """Run the command and end the process with the exit code that the contract promises."""
    end_with(_asked)


def _asked() -> int | None:
    try:
        code: int | None = app(standalone_mode=False)
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as error:
        asked = shlex.join(["harness", *sys.argv[1:]])
        step = f"You asked for `{asked}`; see `harness --help`."
        raise InvalidError(error.format_message(), step) from error
    except typer.Abort:
        return ExitCode.ABORTED
    return code


@app.command()
def run(
    files: Annotated[list[Path], typer.Argument(help="Scenario files.")],
    stack: Annotated[str | None, typer.Option(help="Driver to use instead of the file's.")] = None,
    context: Context = None,
    namespace: Namespace = None,
    profile: Annotated[str | None, typer.Option(help="Overlay under `profiles:` to apply.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value, over the file.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Load processes instead of the file's `load.workers`.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, max=1000, help="Runs of each file.")] = 1,
    deadline: Annotated[
        str | None, typer.Option(help="Stop and heal after this time, such as 10m.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be touched; touch nothing.")
    ] = False,
    out: Out = RESULTS,
    output: Output = Form.TEXT,
) -> int:
    """Run scenarios and give a verdict on each; the worst decides the exit code."""
    from harness.cli import running

    # The driver first, so that its options can be set too.
    named = {"driver": stack, "context": context, "namespace": namespace}
    overrides = [f"stack.{option}={value}" for option, value in named.items() if value]
    overrides += settings or []
    overrides += [f"load.workers={workers}"] if workers else []
    asked = running.Request(
        files=tuple(files),
        profile=profile,
        overrides=tuple(overrides),
        repeat=repeat,
        out=out,
        output=output,
        deadline_s=running.deadline_s(deadline),
    )
    if dry_run:
        from harness.cli import dry_run as previewing

        return previewing.dry_run(asked)
    return running.run_all(asked)


@app.command()
def demo(
    driver: Annotated[
        Driver, typer.Option("--stack", help="Where: local, or compose with three Kafka brokers.")
    ] = Driver.LOCAL,
    defect: Annotated[
        list[str] | None, typer.Option(help="Plant a defect, such as no-fallback.")
    ] = None,
    out: Out = RESULTS,
    output: Output = Form.TEXT,
) -> int:
    """Run a scenario on a stack of its own: load, a broken dependency, a verdict."""
    from harness.cli import running

    return running.demo(driver, tuple(defect or ()), out, output)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="Scenario files.")],
    profile: Annotated[str | None, typer.Option(help="Overlay under `profiles:` to apply.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value, over the file.")
    ] = None,
) -> int:
    """Check scenario files without touching anything; all problems of all files at once."""
    from harness.cli import running

    return running.validate(tuple(files), profile, tuple(settings or ()))


@app.command()
def schema(
    which: Annotated[Schema, typer.Argument(help="Of which document.")] = Schema.SCENARIO,
) -> int:
    """Print the JSON Schema of scenario files, of result.json or of a dry run."""
    from harness.cli import documents

    return documents.schema(which)


@app.command()
def judge(
    run: Annotated[str, typer.Argument(help="Run folder, id, or latest.")],
    out: Out = RESULTS,
    output: Output = Form.TEXT,
) -> int:
    """Judge a stored run again, offline; the same evidence gives the same bytes."""
    from harness.cli import documents

    return documents.judge(out, run, output)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="Run folder, id, or latest.")] = "latest",
    form: Annotated[Document, typer.Option("--format", help="What to render.")] = Document.HTML,
    out: Out = RESULTS,
) -> int:
    """Render a stored run again; html prints the path of the file, the others the text."""
    from harness.cli import documents

    return documents.report(out, run, form)


app.command()(compare)


@stack_app.command("up")
def stack_up(
    driver: Annotated[Driver, typer.Option("--stack", help="Driver.")] = Driver.LOCAL,
    profile: Annotated[
        str, typer.Option(help="Part of the platform, such as orders or full (local).")
    ] = "base",
    defect: Annotated[list[str] | None, typer.Option(help="Plant a defect.")] = None,
    port: Annotated[
        list[str] | None, typer.Option(help="service=port; the others are chosen (local).")
    ] = None,
    project: Project = None,
    file: Annotated[
        Path | None, typer.Option(help="Compose file; docker-compose.yml by default.")
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Kustomization to deploy (kubernetes).")
    ] = None,
    kind: Annotated[
        bool, typer.Option("--kind", help="On a kind cluster of this machine, made if need be.")
    ] = False,
    output: Output = Form.TEXT,
) -> int:
    """Bring the stack up and print where its parts answer."""
    from harness.cli import namespaces, stacks

    if kind:
        context, namespace, overlay = namespaces.on_kind(driver, context, namespace, overlay)
    if driver == Driver.KUBERNETES:
        return namespaces.up(context, namespace, overlay, tuple(defect or ()), output)
    if driver == Driver.COMPOSE:
        return stacks.up_compose(project, file, tuple(defect or ()), output)
    return stacks.up(profile, tuple(defect or ()), tuple(port or ()), output)


@stack_app.command("attach")
def stack_attach(
    driver: Annotated[
        Driver, typer.Option("--stack", help="Driver: compose or kubernetes.")
    ] = Driver.COMPOSE,
    project: Project = None,
    context: Context = None,
    namespace: Namespace = None,
    output: Output = Form.TEXT,
) -> int:
    """Attach to a compose project or a namespace that runs already; nothing of it is changed."""
    from harness.cli import namespaces, stacks

    if driver == Driver.KUBERNETES:
        return namespaces.attach(context, namespace, output)
    return stacks.attach(project, output)


@stack_app.command("down")
def stack_down(
    driver: Annotated[
        Driver | None, typer.Option("--stack", help="Driver; told by the other options.")
    ] = None,
    project: Project = None,
    context: Context = None,
    namespace: Namespace = None,
    volumes: Annotated[
        bool, typer.Option("--volumes", help="Remove the compose project's data too.")
    ] = False,
) -> int:
    """Stop the embedded stack; a project or namespace only if it was brought up here."""
    from harness.cli import namespaces, stacks

    if driver == Driver.KUBERNETES or context or namespace:
        return namespaces.down(context, namespace)
    if driver == Driver.COMPOSE:
        return stacks.down(stacks.named(project), volumes=volumes)
    return stacks.down(project, volumes=volumes)


@stack_app.command("status")
def stack_status(output: Output = Form.TEXT) -> int:
    """Say how the parts of the stack are."""
    from harness.cli import stacks

    return stacks.status(output)


@app.command()
def doctor(
    profile: Annotated[
        str, typer.Option(help="Part of the local platform that is to run.")
    ] = "base",
    fix: Annotated[bool, typer.Option(help="Fetch what is missing into the cache.")] = False,
    quiet: Annotated[bool, typer.Option(help="Say only what is wrong.")] = False,
) -> int:
    """Check that everything the harness needs is there, and how to get what is not."""
    from harness.cli import stacks

    return stacks.doctor(profile=profile, fix=fix, quiet=quiet)


@faults_app.callback()
def faults(
    asked: typer.Context,
    context: Context = None,
    namespace: Namespace = None,
    output: Output = Form.TEXT,
) -> int:
    """List faults that are not proven healed, of every stack, or as a namespace has them."""
    from harness.cli import healing

    if asked.invoked_subcommand:
        return 0
    if context or namespace:
        from harness.cli import namespaces

        return namespaces.list_faults(context, namespace, output)
    return healing.list_faults(output)


@faults_app.command("kinds")
def fault_kinds() -> int:
    """List the kinds of faults and their parameters."""
    from harness.cli import healing

    return healing.list_kinds()


@app.command()
def recover(
    stack: Annotated[str | None, typer.Option(help="Only this stack's id.")] = None,
    context: Context = None,
    namespace: Namespace = None,
    output: Output = Form.TEXT,
) -> int:
    """Undo every open fault and prove it: 0 clean, 6 something left, 3 could not look.

    With --context and -n also what runs on other machines have left in that namespace.
    """
    from harness.cli import healing

    if context or namespace:
        from harness.cli import namespaces

        return namespaces.recover(context, namespace, output)
    return healing.recover_all(stack, output)


@app.command()
def stop(
    stack: Annotated[str | None, typer.Option(help="Only the run on this stack.")] = None,
) -> int:
    """Stop the runs that go on on this machine; each heals before it ends."""
    from harness.cli import healing

    return healing.stop_runs(stack)


@app.command()
def explain(
    what: Annotated[str | None, typer.Argument(help="An exit code, name or reason.")] = None,
) -> int:
    """Say what an exit code or a reason means."""
    return words.explain(what)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""
