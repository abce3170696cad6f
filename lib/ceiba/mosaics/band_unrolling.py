"""Write a kernel once with loops over bands; compile it for each number of bands with the loops written out.

LLVM keeps a value in a register only where it has a name of its own, and vectorises the loop over pixels only
where that is the innermost loop. So ``for b in unroll(BANDS)`` is repeated with ``b`` as a constant, and a
local ``d[b]`` becomes the variable ``d_0``, ``d_1``, ... The rules, for the source of a function marked
``@for_each_band_count``:

- the first argument is the tuple of band arrays: its length is ``BANDS``;
- every other argument that is subscripted is a flat array, written with its rows: ``a[row, lane]``, or
  ``observations[t, row, lane]`` with ``BANDS + 1`` rows a date;
- every other subscripted name is a set of scalars, with subscripts that are constants once the loops are
  unrolled;
- a float literal is a float32.
"""

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

LANES = 32  # pixels side by side: shorter loops are unrolled before LLVM looks for vectors in them

# Not "reassoc": a sum must not depend on which other dates the neighbouring pixels keep. Not "nnan", "ninf":
# both are used.
FAST_MATH = {"contract", "arcp", "afn", "nsz"}
JIT_OPTIONS = {"nogil": True, "fastmath": FAST_MATH, "boundscheck": False, "error_model": "numpy"}


@intrinsic
def vectorize(typing_context):
    """Tell LLVM two things about the function that calls this which Numba has no words for.

    Its arrays of numbers do not overlap where they are written to: else every loop over LANES, of one or two
    vectors, would begin by comparing all their addresses. And 512-bit vectors are to be used where the processor
    has them: LLVM prefers 256 bits there, because a few wide instructions slow the others down; these kernels are
    made of nothing else.
    """

    def generate(context, builder, signature, arguments):
        # llvmlite refuses attributes that it does not know; to LLVM this one is text
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        for argument in builder.function.args:
            if isinstance(argument.type, ir.PointerType) and argument.type.pointee in (ir.FloatType(), ir.IntType(16)):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.none(), generate


def pair(i: int, j: int, bands: int) -> int:
    """Position of the element (i, j), ``i <= j``, in the row-wise upper triangle of a square matrix."""
    return i * bands - i * (i - 1) // 2 + j - i


def for_each_band_count(**constants: int) -> Callable[[Callable], Callable]:
    """Mark a function as a kernel to unroll; ``constants`` are further names with an integer value.

    The function can be called only from compiled code, and Numba compiles it for every length of its first
    argument. As an overload it becomes part of the compiled caller, so that one with ``cache=True`` caches it
    too.
    """

    def register(kernel: Callable) -> Callable:
        def specialize(bands, *_):
            if not isinstance(bands, types.BaseTuple):
                return None
            return unroll_bands(kernel, BANDS=len(bands), **constants)

        def compiled_only(*_):
            raise TypeError(f"{kernel.__name__} can be called only from compiled code")

        overload(compiled_only, jit_options=JIT_OPTIONS, strict=False)(specialize)
        return compiled_only

    return register


def unroll_bands(kernel: Callable, **constants: int) -> Callable:
    """The function ``kernel`` with its loops over ``unroll(...)`` written out for these constants."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kernel)))
    definition = tree.body[0]
    definition.decorator_list = []
    definition.returns = None
    arguments = [argument.arg for argument in definition.args.args]
    unroller = _Unroller(arguments, {"LANES": LANES, **constants})
    definition.body = unroller.visit_statements(definition.body)
    namespace = {**kernel.__globals__, "uintp": numba.uintp, "float32": numba.float32, **unroller.literals}
    exec(compile(ast.fix_missing_locations(tree), f"<{kernel.__name__} unrolled>", "exec"), namespace)
    return namespace[kernel.__name__]


class _Unroller(ast.NodeTransformer):
    """Rewrites the body of one kernel."""

    def __init__(self, arguments: list[str], constants: dict[str, int], literals: dict[str, np.float32] | None = None):
        self.arguments = arguments
        self.constants = constants
        self.literals = {} if literals is None else literals

    def visit_statements(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        result = []
        for statement in statements:
            changed = self.visit(copy.deepcopy(statement))
            result += changed if isinstance(changed, list) else [changed]
        return result

    def visit_For(self, node: ast.For) -> ast.stmt | list[ast.stmt]:
        if not (isinstance(node.iter, ast.Call) and getattr(node.iter.func, "id", "") == "unroll"):
            return self.generic_visit(node)
        result = []
        for value in range(*(self.evaluate(bound) for bound in node.iter.args)):
            inner = _Unroller(self.arguments, {**self.constants, node.target.id: value}, self.literals)
            result += inner.visit_statements(node.body)
        return result

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(self.constants[node.id]) if node.id in self.constants else node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not isinstance(node.value, float):
            return node
        name = f"literal_{len(self.literals)}"
        self.literals[name] = np.float32(node.value)
        return ast.Name(name, ast.Load())

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if getattr(node.func, "id", "") == "pair":
            return ast.Constant(self.evaluate(node))
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        name = getattr(node.value, "id", None)
        subscripts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == self.arguments[0]:
            return ast.Subscript(node.value, ast.Constant(self.evaluate(node.slice)), node.ctx)
        if name in self.arguments:
            flat = self.flatten([self.visit(subscript) for subscript in subscripts])
            return ast.Subscript(node.value, unsigned(flat), node.ctx)
        if name is not None:
            return ast.Name("_".join([name, *(str(self.evaluate(subscript)) for subscript in subscripts)]), node.ctx)
        if isinstance(node.value, ast.Attribute):
            return self.generic_visit(node)
        array = self.visit(node.value)
        index = ast.Tuple([unsigned(self.visit(subscript)) for subscript in subscripts], ast.Load())
        return ast.Subscript(array, index, node.ctx)

    def flatten(self, subscripts: list[ast.expr]) -> ast.expr:
        """One subscript from ``(row, lane)`` or ``(time, row, lane)``."""
        sizes = {1: [], 2: [LANES], 3: [self.constants["BANDS"] + 1, LANES]}[len(subscripts)]
        flat = subscripts[0]
        for size, subscript in zip(sizes, subscripts[1:], strict=True):
            flat = ast.BinOp(ast.BinOp(flat, ast.Mult(), ast.Constant(size)), ast.Add(), subscript)
        return flat

    def evaluate(self, expression: ast.expr) -> int:
        """The value of an expression of constants."""
        names = {**self.constants, "pair": lambda i, j: pair(i, j, self.constants["BANDS"])}
        source = ast.fix_missing_locations(ast.Expression(copy.deepcopy(expression)))
        return int(eval(compile(source, "<subscript>", "eval"), {"__builtins__": {}}, names))


def unsigned(expression: ast.expr) -> ast.expr:
    """The expression as an unsigned subscript: where one may be negative LLVM reads element by element."""
    return ast.Call(ast.Name("uintp", ast.Load()), [expression], [])
