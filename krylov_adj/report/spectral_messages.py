"""The texts of messages about functions of small matrices and of clusters' gradients: as in `messages.py`."""

from __future__ import annotations

import numpy as np


def not_hermitian(difference: float) -> str:
    return (
        f"H is not Hermitian: ‖H − Hᴴ‖ is {difference:.1e} of ‖H‖. It may be that (a) the problem that H comes from is "
        "not Hermitian, for which functions of H are not supported: use polynomials of H, its trace or determinant; "
        "(b) H = XᴴAX was made with a transpose for the conjugate transpose; (c) H has lost digits: Hermitian parts "
        "are taken where half of the digits agree."
    )


def function_is_traced(name: str) -> str:
    return (
        "F's result is traced though its arguments are not: F reads a parameter from its closure, through which no "
        f"derivative flows. Pass what F depends on as arguments: {name}(F, H, *args) with F(x, *args)."
    )


def function_is_not_elementwise(seen: str) -> str:
    return (
        f"F must be elementwise, F(x)[i] a function of x[i] alone, written with array operations: {seen}. It may be "
        "that (a) F reduces x (a sum, a maximum, a norm): compute that from H first, and pass it as an argument; (b) F "
        "reshapes x or returns several values."
    )


def function_is_not_finite(order: int, points: np.ndarray) -> str:
    what = "F" if order == 0 else f"The derivative of order {order} of F"
    listed = ", ".join(f"{x:.6g}" for x in points)
    return (
        f"{what} is not finite where it is needed, at the eigenvalues [{listed}] of H. It may be that (a) F has a "
        "singularity there (log and sqrt at zero): F(H) has no such derivative; (b) F's formula overflows where F does "
        "not (exp, and derivatives of tanh): clip its argument to where F is constant to working precision."
    )
