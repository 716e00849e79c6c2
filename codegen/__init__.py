"""Pure text: from Steps to a Plan of kernels, and from a Plan to NumPy, C or CUDA. No compiler, no GPU, no subprocess."""

if __name__ != "snnlang.codegen":
    raise ImportError("import it as snnlang.codegen")
