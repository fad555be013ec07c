"""The inversion of a flow block as one compiled loop for CPUs.

Owns the machine code, compiled by numba at the first call and kept on disk: the matrix product
in vector instructions, the Transformer step and the guidance of a patch. Every value of a row is
computed by the same chain of operations whatever shares its batch, so that rows are independent
to the last bit. Knows nothing of torch. Importing it needs numba.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Array = NDArray[np.float32]
F = np.float32
PANEL = 64
NORM_EPSILON = F(1e-5)


class BlockWeights(NamedTuple):
    """One flow block: matrices in panels (..., panels, inputs, PANEL), per layer where a layer has them."""

    in_weight: Array
    in_bias: Array
    positions: Array
    attention_norm_weight: Array
    attention_norm_bias: Array
    qkv_weight: Array
    qkv_bias: Array
    proj_weight: Array
    proj_bias: Array
    mlp_norm_weight: Array
    mlp_norm_bias: Array
    up_weight: Array
    up_bias: Array
    down_weight: Array
    down_bias: Array
    out_weight: Array
    out_bias: Array


class RowArrays(NamedTuple):
    """`model.rows.Rows` in numbers: N request rows, then the null rows of `guided`."""

    guided: NDArray[np.int64]
    null_rows: NDArray[np.int64]
    guidance: Array
    query_scale: Array
    class_vectors: Array


class GuidanceRule(NamedTuple):
    """`model.guidance.Guidance` without its weights."""

    annealed: bool
    corrected: bool
    scale: bool
    shift: bool


class Store(NamedTuple):
    """Keys and values (layers, rows, heads, T - 1, head_dim)."""

    keys: Array
    values: Array


def _vector_registers() -> tuple[int, int]:
    """Floats in a vector register of this machine, and how many registers there are."""
    features = binding.get_host_cpu_features()
    if "x86_64" in binding.get_default_triple() and not features.get("fma"):
        raise ImportError("this processor has no fused multiply-add")
    if features.get("avx512f"):
        return 16, 32
    if features.get("avx"):
        return 8, 16
    return 4, 32 if "aarch64" in binding.get_default_triple() else 16


LANES, REGISTERS = _vector_registers()


def _compiled(**options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`njit` that keeps its code on disk where there is a place for it."""

    def compile_lazily(function: Callable[..., None]) -> Callable[..., None]:
        try:
            return njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        except RuntimeError:  # No folder can be written to.
            return njit(nogil=True, error_model="numpy", **options)(function)

    return compile_lazily


def _tile(rows: int) -> Callable[..., None]:
    """The innermost product: `rows` rows of x times one panel, held in registers throughout.

    Sums run over the inputs in order, one fused multiply-add each: the result does not depend on `rows`.
    """

    @intrinsic
    def tile(_context: Any, x: Any, row: Any, weight: Any, panel: Any, out: Any) -> Any:
        """Add to columns panel * PANEL.. of out, from `row` on, the rows of x times this panel of weight."""
        signature = types.void(x, row, weight, panel, out)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, weight, out = (context.make_array(signature.args[n])(context, builder, arguments[n]) for n in (0, 2, 4))
            row, panel = arguments[1], arguments[3]
            (_, x_row), (_, inputs, _), (_, out_row) = (
                cgutils.unpack_tuple(builder, array.shape) for array in (x, weight, out)
            )
            width = row.type(PANEL)
            out_at = builder.add(builder.mul(row, out_row), builder.mul(panel, width))
            pointers = (
                builder.gep(x.data, [builder.mul(row, x_row)]),
                builder.gep(weight.data, [builder.mul(panel, builder.mul(inputs, width))]),
                builder.gep(out.data, [out_at]),
            )
            builder.call(_tile_function(builder.module, rows), [*pointers, x_row, inputs, out_row])
            return context.get_dummy_value()

        return signature, generate

    return tile


def _tile_function(module: ir.Module, rows: int) -> ir.Function:
    """A function of its own, never inlined: copies of it would only cost time to compile."""
    name = f"tarflow_tile_{rows}"
    if name in module.globals:
        return module.globals[name]
    pointer, integer = ir.FloatType().as_pointer(), ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer] * 3 + [integer] * 3), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    x, weights, out, x_row, inputs, out_row = function.args
    x_rows = [builder.gep(x, [builder.mul(x_row, integer(row))]) for row in range(rows)]
    out_rows = [builder.gep(out, [builder.mul(out_row, integer(row))]) for row in range(rows)]
    width = LANES
    while width * 2 <= PANEL and (rows + 1) * (width * 2 // LANES) < REGISTERS:
        width *= 2
    for column in range(0, PANEL, width):
        _multiply_columns(builder, x_rows, weights, inputs, out_rows, range(column, column + width, LANES))
    builder.ret_void()
    return function


def _multiply_columns(
    builder: ir.IRBuilder, x_rows: list[Any], weights: Any, inputs: Any, out_rows: list[Any], columns: range
) -> None:
    """Emit the loop over the inputs for the vectors of a panel that start at `columns`."""
    vector, integer = ir.VectorType(ir.FloatType(), LANES), inputs.type
    undefined = ir.Constant(vector, ir.Undefined)
    every_lane = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    kind = ir.FunctionType(vector, [vector] * 3)
    multiply_add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")

    def at(pointer: Any, offset: Any) -> Any:
        return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

    before, body, after = builder.block, *(builder.append_basic_block(name) for name in ("inputs", "outputs"))
    starts = [[builder.load(at(row, integer(column)), align=4) for column in columns] for row in out_rows]
    builder.branch(body)
    builder.position_at_end(body)
    k = builder.phi(integer)
    sums = [[builder.phi(vector) for _ in columns] for _ in x_rows]
    panel_row = builder.mul(k, integer(PANEL))
    panel = [builder.load(at(weights, builder.add(panel_row, integer(column))), align=4) for column in columns]
    following = builder.add(k, integer(1))
    k.add_incoming(integer(0), before)
    k.add_incoming(following, body)
    for x_row, row_sums, row_starts in zip(x_rows, sums, starts, strict=True):
        value = builder.insert_element(undefined, builder.load(builder.gep(x_row, [k])), ir.IntType(32)(0))
        value = builder.shuffle_vector(value, undefined, every_lane)
        for index, total in enumerate(row_sums):
            total.add_incoming(row_starts[index], before)
            row_sums[index] = builder.call(multiply_add, [value, panel[index], total])
            total.add_incoming(row_sums[index], body)
    builder.cbranch(builder.icmp_signed("<", following, inputs), body, after)
    builder.position_at_end(after)
    for out_row, row_sums in zip(out_rows, sums, strict=True):
        for column, total in zip(columns, row_sums, strict=True):
            builder.store(total, at(out_row, integer(column)), align=4)


_tile6, _tile4, _tile2, _tile1 = (_tile(rows) for rows in (6, 4, 2, 1))


@_compiled()
def _linear(x: Array, weight: Array, bias: Array, out: Array, add: bool) -> None:
    """Set out (rows, outputs), or add to it, bias + x @ weight; x (rows, inputs or more)."""
    rows = x.shape[0]
    for row in range(rows):
        for column in range(out.shape[1]):
            out[row, column] = bias[column] + (out[row, column] if add else F(0))
    for panel in range(weight.shape[0]):
        row = 0
        while rows - row >= 6:
            _tile6(x, row, weight, panel, out)
            row += 6
        if rows - row >= 4:
            _tile4(x, row, weight, panel, out)
            row += 4
        if rows - row >= 2:
            _tile2(x, row, weight, panel, out)
            row += 2
        if row < rows:
            _tile1(x, row, weight, panel, out)


@_compiled(fastmath={"reassoc", "contract", "nsz"})
def _layer_norm(x: Array, weight: Array, bias: Array, out: Array) -> None:
    """LayerNorm over the first len(weight) columns."""
    channels = weight.shape[0]
    for row in range(x.shape[0]):
        total = F(0)
        for i in range(channels):
            total += x[row, i]
        mean, squares = total / F(channels), F(0)
        for i in range(channels):
            squares += (x[row, i] - mean) * (x[row, i] - mean)
        inverse = F(1) / math.sqrt(squares / F(channels) + NORM_EPSILON)
        for i in range(channels):
            out[row, i] = (x[row, i] - mean) * inverse * weight[i] + bias[i]


@_compiled(fastmath={"contract", "nsz"})
def _gelu(x: Array) -> None:
    """x * Phi(x) in place, to 3e-7; the normal's tail by Abramowitz and Stegun, 7.1.28."""
    for row in range(x.shape[0]):
        for i in range(x.shape[1]):
            a = abs(x[row, i]) * F(math.sqrt(0.5))
            p = F(0.0002765672) + a * F(0.0000430638)
            p = F(0.0092705272) + a * (F(0.0001520143) + a * p)
            p = F(1) + a * (F(0.0705230784) + a * (F(0.0422820123) + a * p))
            p *= p
            p *= p
            p *= p
            p *= p
            tail = abs(x[row, i]) * (F(0.5) / p)
            x[row, i] = (x[row, i] if x[row, i] > F(0) else F(0)) - tail


@_compiled(fastmath={"contract", "nsz"})
def _exponentials(x: Array, count: int, exponents: NDArray[np.int32]) -> None:
    """exp(x[:count]) in place, for x at most 0, to 2 units in the last place; 2^n is built from its bits."""
    powers = exponents.view(np.float32)
    for i in range(count):
        value = x[i] if x[i] > F(-87) else F(-87)
        power = math.floor(value * F(1 / math.log(2)) + F(0.5))
        # ln 2 in two parts, the first exact in few bits.
        rest = value - power * F(0.693359375) + power * F(0.693359375 - math.log(2))
        series = F(1 / 120) + rest * (F(1 / 720) + rest * F(1 / 5040))
        series = F(1 / 2) + rest * (F(1 / 6) + rest * (F(1 / 24) + rest * series))
        x[i] = F(1) + rest * (F(1) + rest * series)
        exponents[i] = (np.int32(power) + np.int32(127)) << np.int32(23)
    for i in range(count):
        x[i] *= powers[i]


@_compiled(fastmath={"reassoc", "contract", "nsz"})
def _attend(qkv: Array, scale: Array, keys: Array, values: Array, step: int, out: Array) -> None:
    """Attention of the patch at `step` to itself and those before; keys, values (rows, heads, T - 1, head_dim)."""
    rows, heads, length, head_dim = keys.shape
    channels = heads * head_dim
    scores, exponents = np.empty(length, F), np.empty(length, np.int32)
    for row in range(rows):
        for head in range(heads):
            first = head * head_dim
            for d in range(head_dim):
                keys[row, head, step, d] = qkv[row, channels + first + d]
                values[row, head, step, d] = qkv[row, 2 * channels + first + d]
            top = F(-np.inf)
            for t in range(step + 1):
                score = F(0)
                for d in range(head_dim):
                    score += qkv[row, first + d] * keys[row, head, t, d]
                scores[t] = score * scale[row]
                top = max(top, scores[t])
            for t in range(step + 1):
                scores[t] -= top
            _exponentials(scores, step + 1, exponents)
            total = F(0)
            for t in range(step + 1):
                total += scores[t]
            for d in range(head_dim):
                out[row, first + d] = F(0)
            for t in range(step + 1):
                share = scores[t] / total
                for d in range(head_dim):
                    out[row, first + d] += share * values[row, head, t, d]


@_compiled()
def _affine(
    predicted: Array, latents: Array, rows: RowArrays, rule: GuidanceRule, step: int, patches: Array
) -> None:  # fmt: skip
    """Fold the null rows in, as `Guidance.combine` does, and set the next patch of every request row."""
    steps, dims = patches.shape[1] - 1, patches.shape[2]
    for row in range(patches.shape[0]):
        weight = rows.guidance[row] * (F(step + 1) / F(steps) if rule.annealed else F(1))
        null = rows.null_rows[row]
        for d in range(dims):
            log_scale, shift = predicted[row, d], predicted[row, dims + d]
            if null >= 0:
                null_log_scale, null_shift = predicted[null, d], predicted[null, dims + d]
                if rule.corrected:
                    ratio = math.exp(min(F(2) * (log_scale - null_log_scale), F(0)))
                    precision = F(1) + weight - weight * ratio
                    guided_log_scale = log_scale - F(0.5) * math.log(precision)
                    guided_shift = ((F(1) + weight) * shift - weight * ratio * null_shift) / precision
                else:
                    guided_log_scale = log_scale + weight * (log_scale - null_log_scale)
                    guided_shift = shift + weight * (shift - null_shift)
                log_scale = guided_log_scale if rule.scale else log_scale
                shift = guided_shift if rule.shift else shift
            patches[row, step + 1, d] = latents[row, step + 1, d] * math.exp(log_scale) + shift


@_compiled()
def invert_block(
    weights: BlockWeights, latents: Array, rows: RowArrays, rule: GuidanceRule, store: Store, patches: Array
) -> None:  # fmt: skip
    """Set patches (N, T, D) to those that the block maps to latents (N, T, D), both in the block's order."""
    count, steps, dims = latents.shape[0], latents.shape[1] - 1, latents.shape[2]
    layers, total, heads, _, head_dim = store.keys.shape
    channels = heads * head_dim
    scale = rows.query_scale / math.sqrt(F(head_dim))
    current, normed, attended = (
        np.empty((total, dims), F),
        np.empty((total, channels), F),
        np.empty((total, channels), F),
    )
    hidden = np.empty((total, weights.in_bias.shape[0]), F)
    qkv = np.empty((total, weights.qkv_bias.shape[1]), F)
    inner = np.empty((total, weights.up_bias.shape[1]), F)
    predicted = np.empty((total, weights.out_bias.shape[0]), F)
    for row in range(count):
        for d in range(dims):
            patches[row, 0, d] = latents[row, 0, d]
    for step in range(steps):
        for row in range(total):
            request = row if row < count else rows.guided[row - count]
            for d in range(dims):
                current[row, d] = patches[request, step, d]
        _linear(current, weights.in_weight, weights.in_bias, hidden, False)
        for row in range(total):
            for i in range(channels):
                hidden[row, i] += weights.positions[step, i] + rows.class_vectors[row, i]
        for n in range(layers):
            _layer_norm(hidden, weights.attention_norm_weight[n], weights.attention_norm_bias[n], normed)
            _linear(normed, weights.qkv_weight[n], weights.qkv_bias[n], qkv, False)
            _attend(qkv, scale, store.keys[n], store.values[n], step, attended)
            _linear(attended, weights.proj_weight[n], weights.proj_bias[n], hidden, True)
            _layer_norm(hidden, weights.mlp_norm_weight[n], weights.mlp_norm_bias[n], normed)
            _linear(normed, weights.up_weight[n], weights.up_bias[n], inner, False)
            _gelu(inner)
            _linear(inner, weights.down_weight[n], weights.down_bias[n], hidden, True)
        _linear(hidden, weights.out_weight, weights.out_bias, predicted, False)
        _affine(predicted, latents, rows, rule, step, patches)
