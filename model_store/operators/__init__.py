"""Which operators of ONNX may be used, and what each makes of its inputs, as far as sizes go."""
