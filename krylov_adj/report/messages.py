"""The text of every message: what was seen (numbers), likely causes, what to try.

Longer than 400 lines: texts are compared with each other, and found in one place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .report import Report


def cut_cluster(report: Report, w: np.ndarray) -> str:
    listed = ", ".join(f"{i} (w = {w[i]:.6g}): {distance:.1e}" for i, distance in report.neighbours.items())
    return (
        f"The {report.stage} systems of some eigenpairs are singular to working precision, because eigenvalues lie "
        f"next to theirs that were not computed; number and distance: {{{listed}}}. It may be that (a) k cuts a "
        "cluster: increase k, so that the whole cluster is computed; (b) the eigenvalue is nearly defective, and "
        "has no derivative that can be computed; (c) the parameters are at a crossing: move them."
    )


def not_converged(report: Report) -> str:
    columns = report.failed
    bad = ", ".join(f"{i}: {report.residuals[i]:.1e}" for i in columns)
    return (
        f"The {report.stage} systems of {columns.size} of {report.residuals.size} eigenpairs did not converge: "
        f"relative residuals {{{bad}}} with {report.requested:.1e} requested, after {report.iterations} "
        f"iterations of {report.method}. It may be that (a) the eigenvalue has a neighbour that was not "
        "computed (a cluster cut at k): increase k; (b) it lies inside the spectrum: pass sigma so that an "
        "inverse is at hand; (c) the systems are ill-conditioned: pass Adjoint(preconditioner=...), or a larger "
        "Adjoint(maxiter=...) or Adjoint(restart=...); (d) rtol is below what the problem admits: "
        "Adjoint(rtol=...)."
    )


def defective(index: int, eigenvalue: complex, condition: float) -> str:
    return (
        f"The eigenvalue {eigenvalue:.6g} (number {index}) is defective to working precision: its condition "
        f"number is {condition:.1e}, its left and right eigenvectors are orthogonal, and it has no derivative. "
        "It may be that (a) the matrix has a Jordan block here (an exceptional point): move the parameters, or take "
        "functions of all that coalesce, such as their mean, from krylov_adj.invariant_subspace; (b) a computed "
        "eigenvector is wrong: lower tol."
    )


def defective_subspace(condition: float) -> str:
    return (
        f"The invariant subspace has the condition number {condition:.1e}: an eigenvalue outside of it has coalesced "
        "with one inside, and it has no derivative. Increase k, or choose sigma, so that all eigenvalues that meet are "
        "inside."
    )


def dependent_basis(rank: int, k: int) -> str:
    return (
        f"The {k} eigenvectors that the solver returned span {rank} dimensions only: eigenvalues are defective to "
        "working precision. Compute a basis of the invariant subspace, such as Schur vectors, and give it to "
        "attach_subspace; or change the parameters, or k."
    )


def basis_not_normalised(deviation: float, name: str) -> str:
    return (
        f"The basis X is not normalised: {name} deviates from the identity by {deviation:.1e}. Make it orthonormal, by "
        "QR or Cholesky, or say normalization='2' (XᴴX = I) or 'M' (XᴴMX = I)."
    )


def few_digits_of_subspace(error: float) -> str:
    return (
        "Eigenvalues outside of the invariant subspace are so close to ones inside, or the matrix is so far from "
        f"normal, that rounding and the subspace's residual make an error of about {error:.0e} of the derivative. "
        "It may be that (a) k nearly cuts a cluster or a Jordan block: increase k; (b) the solver's tol is loose: "
        "lower it; (c) the problem is badly scaled: balance it. Adjoint(on_gauge='ignore') silences this."
    )


def not_a_subspace(residual: float, rtol: float) -> str:
    return (
        f"X spans no invariant subspace: ‖A X − M X H‖ is {residual:.1e} of ‖A‖ + ‖M‖‖H‖, {rtol:.1e} is accepted. It "
        "may be that (a) the solver's tol or maxiter is too loose; (b) X belongs to other parameters; (c) k cuts a "
        "Jordan block; (d) M or the normalisation is missing."
    )


def no_exceptional_point(history: list[tuple[float, float]], p: np.ndarray) -> str:
    return (
        f"No exceptional point was found in {len(history) - 1} steps: |λ₁ − λ₂|² was {history[0][0]:.1e} and is "
        f"{history[-1][0]:.1e}, at p = {np.array2string(p, precision=6)}. It may be that (a) the levels avoid each "
        "other along these parameters: a real symmetric matrix needs two, a general one two real or one complex; (b) "
        "the start is too far away: begin closer, or with another near; (c) two other eigenvalues meet."
    )


def bordered_needs_matrices(n: int) -> str:
    return (
        f"method='bordered' factorises A(p) − λM(p) with a border, of order {n}, and an operator made of functions has "
        "no matrix: give arrays, SciPy's matrices or csr_array, or take method='block'."
    )


def reads_subspace_basis(size: float) -> str:
    return (
        f"The loss depends on the basis of the invariant subspace, which is arbitrary: a rotation inside of it changes "
        f"the loss by {size:.1e} of its cotangents' size. Functions of X Xᴴ, of the invariants of H (trace, "
        "eigenvalues taken together, `spectral_sum`) or of X F(H) Xᴴ are defined; see `check_gauge`."
    )


def reads_phase(indices: np.ndarray, sizes: np.ndarray) -> str:
    listed = ", ".join(f"{i}: {s:.1e}" for i, s in zip(indices, sizes, strict=True))
    return (
        "The loss depends on the phase of eigenvectors, which is arbitrary: |Im(xᴴg)|/‖g‖ of the vectors is "
        f"{{{listed}}}. The gradient returned is the one in the gauge Im(xᴴN dx) = 0 and cannot be reproduced by "
        "differences. It may be that (a) a real part, a sum or a single entry of a complex eigenvector enters "
        "the loss: use |x|², or overlaps' moduli; (b) a phase convention is wanted: apply "
        "krylov_adj.canonical_phase to the vectors first. Adjoint(on_gauge='ignore') silences this."
    )


def reads_basis(pairs: list[tuple[str, str]], size: float, gap: float) -> str:
    listed = ", ".join(f"({i}, {j})" for i, j in pairs)
    return (
        f"The loss depends on the basis chosen inside a degenerate eigenspace: pairs [{listed}], gap {gap:.1e}, "
        f"antihermitian part of XᴴG {size:.1e} relative to it. The component of the derivative along the arbitrary "
        "rotation was dropped. It may be that (a) only some members of the cluster enter the loss: use a function of "
        "all of them, such as the projector X Xᴴ; (b) k cuts the cluster: increase k; (c) the members enter with "
        "different weights. If these are a function of w, as in Σ F(wᵢ) xᵢᴴWxᵢ, the loss has a gradient, which (w, X) "
        "do not carry: krylov_adj.invariant_subspace does; (d) in forward mode, where the motion of every vector is "
        "asked for: use reverse mode for a loss of the span. Adjoint(on_gauge='ignore') silences this."
    )


def lost_couplings(pairs: list[tuple[str, str]], error: float, gap: float) -> str:
    listed = ", ".join(f"({i}, {j})" for i, j in pairs)
    return (
        f"Eigenvalues lie so close together that rounding makes an error of about {error:.0e} of the derivative: "
        f"pairs [{listed}], gap {gap:.1e}, are coupled by rounded differences over the gap. (w, X) do not carry such "
        "a loss so near to a crossing. It may be that (a) it is a smooth function of the whole cluster, such as Σ "
        "F(wᵢ) xᵢᴴWxᵢ, and has a gradient, but not from (w, X): read the mean of the cluster's eigenvalues and the "
        "projector X Xᴴ, or take krylov_adj.invariant_subspace, or differences; (b) it reads members of the cluster "
        "one by one: move the parameters away from the crossing; (c) in forward mode, where all motions of w and X "
        "are computed: use reverse mode for a loss of the span. Adjoint(on_gauge='ignore') silences this."
    )


def moves_within_cluster(lost: float) -> str:
    return (
        "A second derivative in forward mode passes through eigenvectors of close eigenvalues, which move within "
        f"their span as 1/gap. Of a function of the whole cluster rounding leaves an error of about {lost:.0e} of its "
        "second derivative. It may be that (a) the loss is such a function, a projector, the mean: take the second "
        "derivative by reverse over reverse mode (autograd.hessian, or grad of grad), in which these terms do not "
        "occur; (b) single vectors of the cluster are meant, whose derivatives are as large as that: then it is right "
        "to the rounding of the gap. Adjoint(on_gauge='ignore') silences this."
    )


def lost_second_derivative(error: float) -> str:
    return (
        "A second derivative passes through eigenvectors of close eigenvalues. Terms with the reciprocal of their "
        f"gap cancel in it, and rounding leaves an error of about {error:.0e} of this derivative. It may be that (a) "
        "the loss is a function of the whole cluster: at eigenvalues that coincide, or a hundred times further "
        "apart, its second derivative is accurate, and at every gap with krylov_adj.invariant_subspace; of "
        "eigenvalues alone use the mean; (b) single members of the cluster are meant: move the parameters away from "
        "the crossing. Adjoint(on_gauge='ignore') silences this."
    )


def out_of_range(value: float, a: float, m: float, dtype: Any) -> str:
    return (
        f"An eigenvalue is {value:.1e} times 2^{np.log2(a) - np.log2(m):.0f}, outside of the range of {dtype}. It may "
        f"be that (a) A, of the size of {a:.0e}, or M, of {m:.0e}, is in unsuitable units: rescale it, which only "
        "multiplies w; (b) single precision is not enough."
    )


def shift_out_of_range(sigma: Any, size: float, eps: float) -> str:
    return (
        f"sigma = {sigma:.3g} is more than 1/ε = {1 / eps:.0e} times the entries of A, which are up to {size:.0e}: "
        "rounding leaves nothing of A in A − σI. It may be that (a) sigma is in other units than A: give both in the "
        "same; (b) A has lost its scale: look at its entries."
    )


def not_finite(what: str) -> str:
    return (
        f"{what} returned NaN or infinity. It may be that (a) the parameters left the range where the operator "
        "is defined; (b) a division by zero or an overflow happens inside of the function."
    )


def not_eigenpairs(residuals: np.ndarray, rtol: float, scales: np.ndarray) -> str:
    bad = np.flatnonzero(~(residuals <= rtol))
    listed = ", ".join(f"{i}: {residuals[i]:.1e}" for i in bad)
    return (
        f"The residuals ‖A x − λ M x‖ relative to (‖A‖ + |λ|‖M‖)‖x‖, which is up to {np.max(scales):.1e}·‖x‖, of the "
        f"pairs {{{listed}}} exceed {rtol:.1e}: "
        "these are not eigenpairs of the operators given. It may be that (a) they belong to other parameters; (b) the "
        "solver stopped early: tighten it, or admit them with rtol=...; (c) A or M is not the operator that was "
        "solved, or not Hermitian though it was said to be; (d) M is not Hermitian positive definite, which ARPACK "
        "needs; (e) sigma lies within rounding of an eigenvalue, whose part in (A − σM)⁻¹ drowns those of the others: "
        "move it by 1e-6 of its size."
    )


def not_in_the_span(part: float, accepted: float) -> str:
    return (
        f"A x − λ M x of a combination of the vectors x found has a component of {part:.1e} of A x and λ M x in their "
        f"own span, where {accepted:.1e} would be accepted: these are not eigenpairs. It may be that (a) M is not "
        "Hermitian positive definite, which ARPACK needs, by less than rounding of its largest entries shows: use eigs "
        "with sigma; (b) the solver stopped early: lower tol; (c) sigma lies within rounding of an eigenvalue: move it "
        "by 1e-6 of its size."
    )


def not_the_eigenvalue(w: np.ndarray, deviations: np.ndarray, accepted: np.ndarray) -> str:
    i = int(np.argmax(deviations / np.where(accepted > 0, accepted, 1)))
    return (
        f"The eigenvalue {w[i]:.6g} (number {i}) is not that of its vector, whose Rayleigh quotient is "
        f"{deviations[i]:.1e} away, where {accepted[i]:.1e} would be accepted: these are not eigenpairs of the "
        "operators given. It may be that (a) w and X are in different orders; (b) w belongs to other parameters; (c) w "
        "is of a shifted or scaled problem; (d) sigma lies within rounding of an eigenvalue: move it by 1e-6 of its "
        "size."
    )


def few_digits(relative: dict[int, float], w: np.ndarray, seen: np.ndarray) -> str:
    listed = ", ".join(f"{i} (w = {w[i]:.6g}): {part:.0e}" for i, part in relative.items())
    least = min(seen[i] for i in relative)
    return (
        "A and M determine some eigenvalues, and their vectors and derivatives, to few digits: rounding in A x and "
        f"M x, ε(‖A‖ + |λ|‖M‖), changes λ by up to these parts of it, {{{listed}}}; M is stiff, and of ‖M‖ the vectors "
        f"see {least:.0e}. Where errors average out, a digit or two more are right. It may be that (a) A and M are "
        "differences of high order on a fine grid: use a coarser one and a more accurate formula, or lower the order "
        "by other unknowns (the slope of a beam for its deflection); (b) unknowns are in different units: scale them; "
        "(c) single precision is not enough. Adjoint(on_gauge='ignore') silences this."
    )


def other_normalization(asked: str, found: str) -> str:
    return (
        f"The eigenvectors were asked for with normalization={asked!r}, and the solver can only give {found!r}: M may "
        "not be Hermitian positive definite. Leave the normalisation to the solver, or ask for the one it can give."
    )


def not_normalised(deviation: float, name: str) -> str:
    return (
        f"The eigenvectors are not normalised: {name} deviates from one by {deviation:.1e}. Scale the columns, or name "
        'the normalisation they have with normalization="2" | "M" | "A".'
    )


def dependent_vectors(lowest: float, highest: float) -> str:
    return (
        f"The eigenvectors are linearly dependent: singular values of XᴴNX from {lowest:.1e} to {highest:.1e}. It may "
        "be that (a) the solver returned one vector twice, having found fewer than k: try another v0, or a larger ncv; "
        "(b) vectors of different problems were put together."
    )


def not_positive_definite(reason: str, solver: str, sigma: Any) -> str:
    if solver == "eigsh":
        remedy = (
            'with sigma, use mode="buckling" for an indefinite M and a positive semidefinite A; otherwise '
            "solve it as a non-Hermitian problem with eigs(A, M=M, sigma=...)."
        )
    elif sigma is None:
        remedy = "give sigma, with which any nonsingular pencil can be solved, or pass M⁻¹A as one operator."
    else:
        remedy = "check M."
    return (
        f"M is not Hermitian positive definite: {reason}. ARPACK would return wrong eigenvalues without a word. "
        f"What to try: {remedy}"
    )


def buckling_needs_semidefinite(reason: str) -> str:
    return (
        f'mode="buckling" needs a Hermitian positive semidefinite A, which normalises the vectors: {reason}. It may be '
        'that (a) A and M are the other way round: A is the stiffness, M the geometric one; (b) mode="normal" or '
        '"cayley" is meant, with a positive semidefinite M.'
    )


def fewer_finite(found: int, k: int, n: int, buckling: bool) -> str:
    count = f"{found} of the {n} eigenvalues {'is' if found == 1 else 'are'}"
    seen = f"{count} finite and not zero (as buckling needs them)" if buckling else f"{count} finite"
    return (
        f"k = {k} eigenvalues were asked for, and {seen}. It may be that (a) M is singular, as with constraints or "
        f"massless degrees of freedom: ask for k <= {found}; (b) M has lost its scale, so that a part of it is below "
        "rounding: look at its entries."
    )


def infinite_eigenvalue(w: np.ndarray, infinite: int) -> str:
    return (
        f"{infinite} of the {w.size} eigenvalues {'is' if infinite == 1 else 'are'} infinite. It may be that (a) M is "
        "singular, and fewer eigenvalues are finite than k: lower it; (b) which or mode selects infinite ones: use "
        'which="LM" next to a sigma, with mode="normal".'
    )


def basis_past_finite(ncv: int, rank: int, k: int) -> str:
    return (
        f"ARPACK could not build a basis of ncv = {ncv} vectors, because M (A with mode='buckling') is singular: of "
        f"rank {rank} at most, so that no more than {rank} eigenvalues are finite. It may be that (a) k = {k} is more "
        f"than there are: lower it; (b) ncv, by default max(2 k + 1, 20), is: pass ncv <= {rank}."
    )


def singular_pencil(condition: float) -> str:
    return (
        f"A − sM is singular for every s, to working precision: its condition number is {condition:.1e} at the best of "
        "some. Then every number is an eigenvalue. It may be that (a) A and M have a null vector in common (a degree "
        "of freedom with neither stiffness nor mass): eliminate it; (b) a row of both is zero, or the difference of "
        "others."
    )


def operator_not_hermitian(name: str, error: float) -> str:
    return (
        f"{name} is not Hermitian: ⟨y, {name} x⟩ and ⟨{name} y, x⟩ differ by {error:.1e} of ‖{name} x‖ for unit "
        "vectors x and y. It may be that (a) a sign, a conjugate or a boundary term is wrong: "
        "krylov_adj.check_operator(A, hermitian=True); (b) the problem is not Hermitian: use eigs, or "
        "hermitian=False."
    )


def operator_adjoint_wrong(name: str, error: float) -> str:
    return (
        f"The adjoint of {name} is wrong: ⟨y, {name} x⟩ and ⟨{name}ᴴ y, x⟩ differ by {error:.1e} of ‖{name} x‖ for "
        "unit vectors x and y. It may be that (a) rmatvec is the transpose, or another map: leave it out to have "
        "it from autograd; (b) matvec is not linear in the vector; (c) matvec uses a function whose derivative "
        "in autograd is wrong or missing. krylov_adj.check_operator(A) shows more."
    )


def boxes_in_scipy() -> str:
    return (
        "A traced value reached an operator of SciPy's, which makes arrays of objects of it. It may be that (a) the "
        "operator was made with scipy.sparse.linalg.LinearOperator: use krylov_adj.LinearOperator; (b) a SciPy "
        "operator stands on the left of a sum or product with one of krylov_adj: wrap it in "
        "krylov_adj.aslinearoperator."
    )


def nearly_defective(indices: np.ndarray, conditions: np.ndarray, eps: float) -> str:
    listed = ", ".join(f"{i}: {c:.1e}" for i, c in zip(indices, conditions, strict=True))
    return (
        f"Eigenvalues are nearly defective; condition numbers {{{listed}}}. Rounding alone changes their derivatives "
        f"by about κ²ε, here {float(np.max(conditions)) ** 2 * eps:.0e} of them. It may be that (a) the parameters are "
        "near an exceptional point: move them away from it; (b) the problem is badly "
        "scaled: balance it. Adjoint(on_gauge='ignore') silences this."
    )


def cut_eigenvalues(distances: dict[int, float], w: np.ndarray, hermitian: bool) -> str:
    listed = ", ".join(f"{i} (w = {w[i]:.6g}): {distance:.1e}" for i, distance in distances.items())
    element = " (an element of Clarke's)" if hermitian else ""
    return (
        "The loss reads pairs whose eigenvalues coincide with ones that were not computed; number and distance: "
        f"{{{listed}}}. A single one has no gradient there. A generalised gradient is returned: the one of the "
        f"eigenvectors that the solver happened to choose{element}, another one for another v0. It may be that (a) k "
        "cuts a cluster: increase k, by one for a double eigenvalue, so that the whole cluster is computed, and use a "
        "symmetric function of it, such as its mean; (b) the solver has missed a copy of a multiple eigenvalue: "
        "likewise, or try another v0 or a larger ncv; (c) levels cross here: move the parameters. "
        "Adjoint(on_gauge='ignore') silences this."
    )


def close_eigenvalues(close: dict[int, tuple[float, float]], w: np.ndarray) -> str:
    listed = ", ".join(f"{i} (w = {w[i]:.6g}): {distance:.1e}, {part:.0e}" for i, (distance, part) in close.items())
    return (
        "The loss reads pairs whose eigenvalues are so close to ones that were not computed that rounding mixes their "
        f"vectors; number, distance, and the part of the other vector: {{{listed}}}. The derivative is wrong by about "
        "such parts of itself. It may be that (a) k cuts a cluster: increase k, so that the whole cluster is computed, "
        "and use a symmetric function of it, such as its mean; (b) levels (nearly) cross here: move the parameters. "
        "Adjoint(on_gauge='ignore') silences this."
    )


def missed_eigenvalues(missed: np.ndarray, numbers: np.ndarray) -> str:
    listed, places = ", ".join(f"{w:.6g}" for w in missed), ", ".join(map(str, numbers))
    return (
        f"The eigenvalues {{{listed}}} were not computed, though which (or sigma) wants them more than the pairs "
        f"{{{places}}}, which the loss reads: these are eigenpairs, and their derivatives are right, but they are not "
        "those that were asked for. It may be that (a) the solver's start vector has no part in their eigenvectors, by "
        "symmetry: try another v0; (b) they are copies of a multiple eigenvalue, of which a Krylov space has one: try "
        "a larger ncv or k; (c) the solver stopped early: lower tol. Adjoint(on_gauge='ignore') silences this."
    )


def unequal_weights(groups: list[tuple[list[str], float | complex]]) -> str:
    listed = "; ".join(f"[{', '.join(numbers)}] at {eigenvalue:.6g}" for numbers, eigenvalue in groups)
    return (
        f"The loss treats eigenvalues that coincide differently: numbers {listed}. A generalised gradient is returned: "
        "the one of the eigenvectors that the solver happened to choose, Σ gᵢ xᵢᴴ dA xᵢ (an element of Clarke's, for "
        "sorted eigenvalues of a Hermitian matrix). It may be that (a) a symmetry makes them coincide, and single ones "
        "are read, which have no gradient there: use a symmetric function of the cluster, such as its mean; (b) the "
        "loss is a smooth function of the whole cluster, such as Σ F(wᵢ) xᵢᴴWxᵢ, and has one, which is not the one "
        "returned: (w, X) do not carry what couples the vectors. krylov_adj.invariant_subspace does, or read the mean "
        "and the projector X Xᴴ; (c) k cuts the cluster: increase k; (d) the levels cross here: move the parameters. "
        "Adjoint(on_gauge='ignore') silences this."
    )


def pairs_less_traced() -> str:
    return (
        "A or M depend on traced values that w and X do not depend on: their derivatives would be lost. It may be that "
        "(a) the pairs are those of other operators, or of fewer parameters: compute them from the same A and M with "
        "krylov_adj.eigs; (b) they were stripped of a part of their traces: give plain w and X, which are attached."
    )


# --------------------------------------------------------------------------------------------
# Singular values.
# --------------------------------------------------------------------------------------------


def in_words_of_eigenpairs(message: str) -> str:
    return f"In the words of eigenpairs, for svds w = σ and x = (u, v)/√2 of [[0, A], [Aᴴ, 0]]: {message}"


def triplets_not_resolved(s: np.ndarray, residuals: np.ndarray, strayed: np.ndarray, bad: np.ndarray) -> str:
    listed = ", ".join(f"{i} (σ = {s[i]:.2e}): {residuals[i]:.1e}, {strayed[i]:.1e}" for i in bad)
    return (
        "The triplets that SciPy returned are no singular triplets of A: residuals ‖(A v − σ u, Aᴴ u − σ v)‖/√2, and "
        f"how far Newton's method on A moved the vectors, {{{listed}}}. It may be that (a) k is larger than the "
        "numerical rank of A, so that the vectors of σ = 0 are arbitrary: lower k; (b) σ is below √ε‖A‖, which SciPy "
        "cannot resolve because it works with AᴴA: solve [[0, A], [Aᴴ, 0]] with eigsh and a small sigma, or attach "
        "pairs from another solver with attach_eigenpairs; (c) k cuts a cluster: increase k; (d) the solver stopped "
        "early: lower tol, or raise maxiter."
    )


def zero_in_subspace(s: np.ndarray) -> str:
    listed = ", ".join(f"{value:.1e}" for value in s)
    return (
        f"Among the singular values are some that are zero to rounding, {listed}: the subspace of their vectors is no "
        f"function of A. Lower k to the rank of A."
    )


def vanishing_triplets(report: Report, s: np.ndarray) -> str:
    listed = ", ".join(f"{i} (σ = {s[i]:.1e})" for i in report.neighbours)
    return (
        f"The {report.stage} systems of some singular triplets are singular to working precision: {{{listed}}} are "
        "zero next to the largest, and singular vectors of zero that were not computed mix with theirs. It may be that "
        "(a) A has lost rank: lower k, or read values that are not zero; (b) A is rectangular, and a loss reads "
        "vectors of σ = 0 on its longer side, where they are any basis of a null space."
    )


def reads_zero(indices: np.ndarray, s: np.ndarray) -> str:
    listed = ", ".join(f"{i}: {s[i]:.1e}" for i in indices)
    return (
        f"The loss reads singular values that are zero to working precision, {{{listed}}}, where σ has a kink. A "
        "generalised gradient is returned: that of uᴴAv for the vectors that the solver happened to choose. It may be "
        "that (a) A has lost rank: lower k; (b) a smooth function is meant: read σ². Adjoint(on_gauge='ignore') "
        "silences this."
    )


def reads_null_vectors(pairs: list[tuple[int, int]], size: float) -> str:
    return (
        f"The loss depends on how left and right singular vectors of vanishing singular values go together: pairs "
        f"(u, v) {pairs}, {size:.1e} of the cotangent. Where σ = 0 either can be rotated without the other, and that "
        "part of the derivative was dropped. It may be that (a) A has lost rank: lower k; (b) a product such as uᴴWv "
        "is read: use functions of u uᴴ and v vᴴ. Adjoint(on_gauge='ignore') silences this."
    )


def differences_uncertain(check: str, first: float, last: float) -> str:
    return (
        f"The differences are too uncertain to tell anything: {check}, the best known of steps from {first:.1e} to "
        f"{last:.1e}. It may be that (a) the function is not smooth, or random (fix v0); (b) it is not accurate enough "
        "for short steps: lower tol; (c) even the first step is too short for it: give a longer one, step=..."
    )


def gradient_disagrees(check: str, first: float, last: float) -> str:
    return (
        f"The gradient disagrees with differences: {check}, the best known of steps from {first:.1e} to {last:.1e}. It "
        "may be that (a) the function is not smooth here (eigenvalues cross, k cuts a cluster, an order changes); "
        "(b) it depends on a random start vector or an eigenvector's sign: fix v0, use canonical_phase; (c) the "
        "forward solve is not accurate enough for differences: lower tol, or give a longer step; (d) a part of f is "
        "not traced by autograd; (e) where solves estimate as large an error, their accuracy: lower tol and "
        "Adjoint(rtol=...)."
    )
