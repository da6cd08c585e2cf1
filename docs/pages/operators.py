"""The page of what a network may consist of."""

# ruff: noqa: E501 -- lines of a page

from __future__ import annotations

from docs.pages.note import NOTE
from model_store import graph
from model_store.onnx_tensor import MOST_DIMENSIONS
from model_store.operators.layers import LONGEST_STEP
from model_store.operators.table import GROUPS, WHY_NOT

INTRODUCTION = """\
Before ONNX Runtime, OpenVINO or TensorRT see an ONNX file, a small reader of the node's own looks through it.
It refuses what it does not know: an engine's own reader is a large piece of native code. `model-store adopt`,
`model-store verify`, `dicom-node model import`, `verify` and `promote` ask it, and so does whatever builds an
engine.

From the sizes of the image alone it works out what size every tensor has, without running anything. So it
sees what a list of names cannot: attention inside windows passes, attention of every pixel to every other
does not; a mean over channels passes, one over the image does not. What depends on the whole image cannot be
computed in tiles, and makes a result depend on what lies at the other end of it.
Whatever passes here is held against its own manifest when it runs: an image in tiles must give what the whole gives."""

FORM = """\
| a file | must be |
|---|---|
| format | ONNX, IR version {first_ir} to {last_ir}, at most {megabytes} MiB, all weights inside |
| operator set | ONNX's own (no custom domain), version {first} to {last} |
| graph | one, without functions and without graphs inside it (`If`, `Loop`, `Scan`); at most {nodes} nodes |
| input | one, float32, `[N, 1, H, W]`, with N, H and W free |
| output | one, float32, of the input's shape, made from the input: the denoised image, or what is to be added |
| weights and constants | float32, int32, int64 or bool; finite; at most {dimensions} dimensions; \
weights of convolutions are constants, kernels at most {step} a side |
| inner tensors | at most {numbers} numbers for each pixel of the image (4096 channels of twice its sides), growing \
with the image and no further |
| sums, means, softmax | along axes whose length does not depend on the image |
| shapes | follow from constants and from the sizes of the image, not from what is in the pixels |"""

ENGINES = """\
With PyTorch: `torch.onnx.export(model.eval(), image, "model.onnx", opset_version=18, input_names=["image"], \
output_names=["denoised"], dynamic_axes={"image": {0: "n", 2: "h", 3: "w"}, "denoised": {0: "n", 2: "h", 3: "w"}})`, \
in float32.

ONNX Runtime and OpenVINO on the processor run all of these; tests hold them against each other for networks
with each kind of layer. TensorRT builds f32 and f16 plans of the same networks (tried with TensorRT for RTX 1.7), but
not of one that pads itself to a multiple and crops again: pad before, and let the stride say so. `dicom-node model verify`
says it on the machine at hand. int8 and fp8 were measured on convolutional networks alone."""


def operators() -> str:
    """Reference page of what a network may consist of."""
    form = FORM.format(
        first_ir=graph.IR_VERSIONS[0],
        last_ir=graph.IR_VERSIONS[-1],
        megabytes=graph.LARGEST_FILE >> 20,
        first=graph.OPSETS[0],
        last=graph.OPSETS[-1],
        nodes=graph.MOST_NODES,
        dimensions=MOST_DIMENSIONS,
        step=LONGEST_STEP,
        numbers=graph.MOST_NUMBERS,
    )
    lines = [NOTE, "", "# Operators of networks", "", INTRODUCTION, "", form, "", ENGINES]
    lines += ["", "## What a graph may hold", "", "| group | operators |", "|---|---|"]
    for title, names in GROUPS.items():
        lines.append(f"| {title} | {', '.join(f'`{name}`' for name in sorted(names))} |")
    lines += ["", "## What it may not, and why", "", "| operator | it |", "|---|---|"]
    lines += [f"| `{name}` | {why} |" for name, why in sorted(WHY_NOT.items())]
    lines += ["", "Any other operator is refused because nobody has asked for it yet."]
    return "\n".join(lines) + "\n"
