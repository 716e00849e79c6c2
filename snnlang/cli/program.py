"""The program ``snn``: finds the command, and turns whatever ends it into an exit code.

0 done; 1 the input was wrong (a diagnostic was printed) or we were (one line asks to report it); 2 wrong usage of the
command line; 130 stopped by Ctrl-C. Commands are imported when they are called, so that ``snn check`` stays fast.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from snnlang.diagnostics import Diagnostic, SnnError

COMMANDS = ("new", "check", "fmt", "show", "explain", "run", "eval", "verify", "compile", "models", "cache")


class Commands(click.Group):
    """The commands in the order of work, each imported when called, the nearest named when one is misspelt."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"snnlang.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            if not near and (name.endswith(".snn") or os.path.exists(name)):
                hint = f" To run a file: snn run {name}"
            raise click.UsageError(f"there is no command '{name}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from snnlang import __version__

        click.echo(f"snn {__version__}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with 'snn new mine', then 'snn run mine.snn'. 'snn COMMAND --help' shows examples of each command.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
@click.option("--debug", is_flag=True, help="Show a Python traceback if snn itself fails (also: SNN_DEBUG=1).")
@click.pass_context
def program(ctx: click.Context, debug: bool) -> None:
    """Spiking neural networks, written as the paper prints them.

    A .snn file holds neurons, synapses, networks and experiments. snn checks it, explains it, simulates it and draws
    what was recorded.
    """
    ctx.obj = {"debug": debug}


def run(arguments: Sequence[str]) -> int:
    """Run a command line and give its exit code; nothing is raised."""
    _soften_streams()
    debug = bool(os.environ.get("SNN_DEBUG")) or "--debug" in arguments
    # --debug may stand anywhere, like --help
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        outcome: Any = program.main(args=arguments, prog_name="snn", standalone_mode=False)
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except SnnError as wrong:
        from snnlang.cli.screen import show_diagnostics

        if debug:
            import traceback

            traceback.print_exc()
        show_diagnostics(wrong.diagnostics)
        return 1
    except (KeyboardInterrupt, click.Abort):
        print("stopped", file=sys.stderr)
        return 130
    except (BrokenPipeError, SystemExit):
        # the reader of our output left (`snn models | head`; click turns it into SystemExit): no more output, and no
        # complaint at exit
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        return 0
    except MemoryError:
        from snnlang.cli.screen import show_diagnostics

        show_diagnostics(
            [
                Diagnostic(
                    "E805",
                    "the memory of this machine is not enough",
                    help=("make the network smaller, record less, or use --precision float32",),
                )
            ]
        )
        return 1
    except OSError as problem:
        # files have their own diagnostics: this is standard output on a full disk or a lost terminal
        from snnlang.cli.screen import show_diagnostics

        if debug:
            import traceback

            traceback.print_exc()
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        reason = problem.strerror or str(problem)
        show_diagnostics(
            [Diagnostic("E801", f"cannot write the output: {reason}", help=("make room, or send it elsewhere",))]
        )
        return 1
    except Exception as bug:
        if debug:
            import traceback

            traceback.print_exc()
        print(
            f"snn: internal error ({type(bug).__name__}: {_first_line(bug)}); this is a mistake in snnlang, not in "
            "your file. Please report it, with the file that shows it.",
            file=sys.stderr,
        )
        if not debug:
            print("(run again with --debug to see where)", file=sys.stderr)
        return 1


def _first_line(problem: BaseException) -> str:
    text = str(problem).strip()
    return text.split("\n")[0][:200] if text else "no message"


def _soften_streams() -> None:
    """A terminal without Greek letters shows an escape instead of ending the program; a closed stream takes nothing."""
    if sys.stdout is None:  # started with `>&-`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
