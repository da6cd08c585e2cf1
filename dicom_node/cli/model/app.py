"""``dicom-node model``: the life of a model version on a node, from its arrival to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from dicom_node.cli.model import aliases, bench, content, engines, introduce, shadow, versions
from dicom_node.cli.model.common import flowing

_EXAMPLES = {
    "list": ("dicom-node model list", "dicom-node model list --json"),
    "show": ("dicom-node model show drunet-ct", "dicom-node model show drunet-ct@1.2.0"),
    "verify": ("dicom-node model verify", "dicom-node model verify drunet-ct@1.3.0 --release"),
    "add": ("dicom-node model add /media/usb/vendor-ct/1.0.0",),
    "import": ("dicom-node model import vendor-ct-1.0.0.zip",),
    "introduce": (
        "dicom-node model introduce vendor-ct-1.0.0.zip --to ct-default@production "
        "--why 'new kernels'",
    ),
    "export": ("dicom-node model export drunet-ct@1.3.0 /media/usb",),
    "promote": (
        "dicom-node model promote drunet-ct@1.3.0 --to ct-default@production "
        "--why 'acceptance test of 12 May passed'",
    ),
    "rollback": ("dicom-node model rollback ct-default@production --why 'streaks at the hip'",),
    "unalias": ("dicom-node model unalias drunet-ct@candidate --why 'trial is over'",),
    "history": (
        "dicom-node model history ct-default@production",
        "dicom-node model history drunet-ct@1.3.0",
    ),
    "shadow": (
        "dicom-node model shadow drunet-ct@1.3.0 --of ct-default@production --share 0.1 "
        "--why 'before the change of May'",
        "dicom-node model shadow --off ct-default --why 'seen enough'",
    ),
    "compare": (
        "dicom-node model compare ct-default@production",
        "dicom-node model compare ct-default@production --shadow drunet-ct@1.3.0 --json",
    ),
    "retire": ("dicom-node model retire drunet-ct@1.1.0 --why 'replaced by 1.3.0'",),
    "delete": ("dicom-node model delete vendor-ct@0.9.0 --why 'trial version' --yes",),
    "index": ("dicom-node model index",),
    "build": (
        "dicom-node model build drunet-ct@1.3.0",
        "dicom-node model build drunet-ct@1.3.0 --engine tensorrt --precision f16",
    ),
    "engines": ("dicom-node model engines",),
    "bench": (
        "dicom-node model bench drunet-ct@1.3.0",
        "dicom-node model bench drunet-ct@1.3.0 --engine openvino --engine onnxruntime --json",
    ),
}

_HELP = """Model versions: which there are, which one makes the results, since when and why.

Exit codes:
0 done;
1 an error;
2 wrong use;
3 a gate or a verdict says no;
4 somebody else moved the alias meanwhile.
"""

_COMMANDS: dict[str, Callable[..., Any]] = {
    "list": versions.list_versions,
    "show": versions.show_version,
    "verify": versions.verify,
    "add": content.add,
    "import": content.import_version,
    "introduce": introduce.introduce,
    "export": content.export,
    "promote": aliases.promote,
    "rollback": aliases.rollback,
    "unalias": aliases.unalias,
    "history": aliases.history,
    "shadow": shadow.shadow,
    "compare": shadow.compare,
    "retire": content.retire,
    "delete": content.delete,
    "index": content.index,
    "build": engines.build,
    "engines": engines.engines,
    "bench": bench.bench,
}

app = typer.Typer(
    help=_HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for _name, _command in _COMMANDS.items():
    _epilog = "\n\n".join(["Examples:", *_EXAMPLES[_name]])
    app.command(_name, help=flowing(_command.__doc__), epilog=_epilog)(_command)
