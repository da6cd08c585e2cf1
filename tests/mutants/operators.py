"""What can be changed in a syntax tree, one small thing at a time."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Add, ast.Pow: ast.Mult, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_OTHER_CALL = {
    "min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor",
    "rint": "floor", "union": "intersection", "startswith": "endswith", "endswith": "startswith",
}  # fmt: skip
_CHAINED = frozenset(
    {"where", "order_by", "limit", "distinct", "strip", "rstrip", "upper", "lower", "removeprefix"}
)
"""Methods whose result is as good as what they are called on: dropping the call still runs."""

_CONDITIONS = frozenset({"where", "and_", "or_"})
_SMALL = 64

_LOGS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
_NO_DIFFERENCE = frozenset(
    {"name", "daemon", "strict", "slots", "frozen", "copy", "stacklevel", "skip_locked"}
)
"""Keywords whose values only speed, debugging, typing or other processes know of."""

_TYPES = frozenset({"isinstance", "issubclass", "cast", "TypeVar", "field", "get_args"})


@dataclass(frozen=True)
class Change:
    """One change that can be made to a tree; `make` makes it, once."""

    kind: str
    where: str
    line: int
    before: str
    after: str
    make: Callable[[], None]


def changes(tree: ast.Module) -> Iterator[Change]:
    """Every change to a module, in the order of its text; the tree is changed by `Change.make`."""
    yield from _Walk().body(tree, "body", "")


class _Walk:
    """Goes through statements and expressions, and knows where it is."""

    def body(self, owner: ast.AST, field: str, where: str) -> Iterator[Change]:
        statements: list[ast.stmt] = getattr(owner, field)
        for index, statement in enumerate(statements):
            if _is_docstring(statement) or _is_log(statement) or _is_typing(statement):
                continue
            if where and index:
                yield from self._swapped(statements, index, where)
            yield from self._deleted(owner, statements, index, where)
            yield from self._inside(statement, where)

    def _inside(self, statement: ast.stmt, where: str) -> Iterator[Change]:
        if not where:
            yield from self._top(statement)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{where}.{statement.name}" if where else statement.name
            if not isinstance(statement, ast.ClassDef):
                yield from self._expressions(statement.args, inner)
            yield from self.body(statement, "body", inner)
            return
        if isinstance(statement, ast.If | ast.While):
            negated = ast.UnaryOp(ast.Not(), statement.test)
            place = _Place(statement, "test", None)
            yield place.change("condition", where, statement.test, negated)
        yield from self._expressions(statement, where)
        for field in ("body", "orelse", "finalbody"):
            if getattr(statement, field, None):
                yield from self.body(statement, field, where)
        for handler in getattr(statement, "handlers", ()):
            yield from self._handler(handler, where)
        for case in getattr(statement, "cases", ()):
            yield from self.body(case, "body", where)

    def _top(self, statement: ast.stmt) -> Iterator[Change]:
        """Tables and lists at the top of a module: one entry less."""
        for node in ast.walk(statement):
            if isinstance(node, ast.Dict):
                for key, value in zip(list(node.keys), list(node.values), strict=True):
                    yield self._entry_less(node, key, value)
            elif isinstance(node, ast.Set | ast.Tuple) and len(node.elts) > 1:
                yield from _elements_less(node, node.elts, "")
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                return

    def _entry_less(self, node: ast.Dict, key: ast.expr | None, value: ast.expr) -> Change:
        def drop() -> None:
            index = next(at for at, each in enumerate(node.values) if each is value)
            del node.keys[index], node.values[index]

        text = f"{ast.unparse(key)}: {ast.unparse(value)}" if key else f"**{ast.unparse(value)}"
        return Change("entry", "", value.lineno, text, "(left out)", drop)

    def _handler(self, handler: ast.ExceptHandler, where: str) -> Iterator[Change]:
        kept = handler.body
        if not (len(kept) == 1 and isinstance(kept[0], ast.Raise)):
            raised = ast.copy_location(ast.Raise(), kept[0])

            def let_through() -> None:
                handler.body = [raised]

            caught = ast.unparse(handler.type) if handler.type else "everything"
            yield Change(
                "handler", where, handler.lineno, f"except {caught}: ...", "raise", let_through
            )
        yield from self.body(handler, "body", where)

    def _deleted(
        self, owner: ast.AST, statements: list[ast.stmt], index: int, where: str
    ) -> Iterator[Change]:
        statement = statements[index]
        if not where or not _can_go(statement, owner, index == len(statements) - 1):
            return
        if where.endswith(".__init__") and isinstance(statement, ast.Assign):
            return  # whoever asks for it has no answer
        other: ast.stmt = ast.Pass()
        if isinstance(statement, ast.Continue):
            other = ast.Break()
        elif isinstance(statement, ast.Break):
            other = ast.Continue()
        ast.copy_location(other, statement)

        def put() -> None:
            statements[index] = other

        yield Change(
            "statement", where, statement.lineno, _text(statement), ast.unparse(other), put
        )

    def _swapped(self, statements: list[ast.stmt], index: int, where: str) -> Iterator[Change]:
        first, second = statements[index - 1], statements[index]
        called = [_function(each) for each in (first, second)]
        if not all(called) or called[0] == called[1] or all(map(_is_setter, called)):
            return

        def swap() -> None:
            statements[index - 1], statements[index] = second, first

        one, other = _text(first), _text(second)
        yield Change("order", where, first.lineno, f"{one}; {other}", f"{other}; {one}", swap)

    def _expressions(self, owner: ast.AST, where: str) -> Iterator[Change]:
        """Changes to the expressions of a statement or expression, not to its statements."""
        for field, value in ast.iter_fields(owner):
            if field in ("annotation", "returns", "decorator_list", "type_params", "msg"):
                continue
            if isinstance(owner, ast.Raise):
                continue  # its message; that it is raised is a statement
            for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.expr):
                    yield from self._expression(_Place(owner, field, index), child, where)
                elif isinstance(child, ast.keyword):
                    made = isinstance(owner, ast.Call) and _called(owner)[:1].isupper()
                    yield from self._keyword(value, child, where, made=made)
                elif isinstance(child, ast.comprehension | ast.withitem | ast.arguments):
                    yield from self._comprehension(child, where)
                    yield from self._expressions(child, where)

    def _comprehension(self, child: ast.AST, where: str) -> Iterator[Change]:
        if not isinstance(child, ast.comprehension):
            return
        for test in child.ifs:

            def drop(test: ast.expr = test) -> None:
                child.ifs.remove(test)

            text = ast.unparse(test)
            yield Change("filter", where, test.lineno, f"if {text}", "(no filter)", drop)

    def _keyword(
        self, keywords: list[ast.keyword], child: ast.keyword, where: str, *, made: bool
    ) -> Iterator[Change]:
        """Leave a keyword out; not one of those that an object is `made` of, which needs them."""
        if child.arg in _NO_DIFFERENCE:
            return
        if child.arg is not None and not made:

            def drop() -> None:
                keywords.remove(child)

            text = f"{child.arg}={ast.unparse(child.value)}"
            yield Change("keyword", where, child.value.lineno, text, "(left out)", drop)
        yield from self._expression(_Place(child, "value", None), child.value, where)

    def _expression(self, place: _Place, node: ast.expr, where: str) -> Iterator[Change]:
        if isinstance(node, ast.JoinedStr) or _is_type_call(node):
            return
        for kind, other in _others(node, top=not where):
            yield place.change(kind, where, node, other)
        if isinstance(node, ast.Compare):
            for operand in node.comparators:
                if isinstance(operand, ast.Tuple | ast.Set | ast.List) and len(operand.elts) > 1:
                    yield from _elements_less(operand, operand.elts, where)
        if isinstance(node, ast.Call) and _called(node) in _CONDITIONS and len(node.args) > 1:
            yield from _elements_less(node, node.args, where)
        if isinstance(node, ast.Lambda):
            yield from self._expression(_Place(node, "body", None), node.body, where)
            return
        yield from self._expressions(node, where)


@dataclass(frozen=True)
class _Place:
    """Where an expression hangs in its tree."""

    owner: ast.AST
    field: str
    index: int | None

    def change(self, kind: str, where: str, node: ast.expr, other: ast.expr) -> Change:
        ast.copy_location(other, node)
        ast.fix_missing_locations(other)

        def put() -> None:
            if self.index is None:
                setattr(self.owner, self.field, other)
            else:
                getattr(self.owner, self.field)[self.index] = other

        return Change(kind, where, node.lineno, ast.unparse(node), ast.unparse(other), put)


def _elements_less(owner: ast.expr, elements: list[ast.expr], where: str) -> Iterator[Change]:
    """One element, argument or condition less."""
    for element in list(elements):
        if isinstance(element, ast.Starred):
            continue

        def drop(element: ast.expr = element) -> None:
            del elements[next(at for at, each in enumerate(elements) if each is element)]

        text = ast.unparse(element)
        yield Change("element", where, owner.lineno, text, "(left out)", drop)


def _others(node: ast.expr, *, top: bool) -> Iterator[tuple[str, ast.expr]]:
    """What an expression could be instead."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            other = copy.copy(node)
            other.ops = [*node.ops]
            other.ops[index] = _COMPARISONS[type(operator)]()
            yield "comparison", other
        yield from _texts(node)
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC and not _is_path(node):
        yield "arithmetic", ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        swapped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", ast.BoolOp(swapped, node.values)
        for left_out in node.values:
            rest = [value for value in node.values if value is not left_out]
            yield "operand", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp):
        yield "unary", node.operand
    elif isinstance(node, ast.IfExp):
        yield "condition", ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant):
        for value in _other_constants(node.value, top=top):
            yield "constant", ast.Constant(value)
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)


def _texts(node: ast.Compare) -> Iterator[tuple[str, ast.expr]]:
    for index, operand in enumerate(node.comparators):
        if isinstance(operand, ast.Constant) and isinstance(operand.value, str | bytes):
            other = copy.copy(node)
            other.comparators = [*node.comparators]
            value = operand.value
            longer = value + "~" if isinstance(value, str) else value + b"~"
            other.comparators[index] = ast.Constant(longer)
            yield "constant", other


def _other_constants(value: Any, *, top: bool) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):  # whether a bound is 256 or 257 nobody can see
        return (0,) if top and value > _SMALL else (value + 1,)
    if isinstance(value, float):
        return (value * 2 if value else 1.0,)
    return ()


def _other_calls(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    name = _called(node)
    if name in _OTHER_CALL:
        function = copy.copy(node.func)
        if isinstance(function, ast.Name):
            function.id = _OTHER_CALL[name]
        elif isinstance(function, ast.Attribute):
            function.attr = _OTHER_CALL[name]
        yield "call", ast.Call(function, node.args, node.keywords)
    if name == "abs" and node.args:
        yield "call", node.args[0]
    if name in _CHAINED and isinstance(node.func, ast.Attribute):
        yield "call", node.func.value


def _can_go(statement: ast.stmt, owner: ast.AST, last: bool) -> bool:
    """Whether the code still runs without a statement, and might do something else."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call | ast.Await)
    if isinstance(statement, ast.Assign):
        return all(isinstance(each, ast.Attribute | ast.Subscript) for each in statement.targets)
    if isinstance(statement, ast.Return):
        return not (isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef) and last)
    return isinstance(statement, ast.AugAssign | ast.Raise | ast.Delete | ast.Continue | ast.Break)


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _function(statement: ast.stmt) -> str:
    """What a statement calls and does nothing else; empty for any other, and for log lines."""
    if not isinstance(statement, ast.Expr) or _is_log(statement):
        return ""
    return ast.unparse(statement.value.func) if isinstance(statement.value, ast.Call) else ""


def _is_setter(function: str) -> bool:
    """Whether it fills a data set, which keeps its own order."""
    return function.rpartition(".")[2].startswith(("set_", "discard"))


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_log(statement: ast.stmt) -> bool:
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    function = statement.value.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in _LOGS
        and "log" in ast.unparse(function.value)
    )


def _is_typing(statement: ast.stmt) -> bool:
    """Imports, and names of types: the code that runs does not know of them."""
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal):
        return True
    if not isinstance(statement, ast.Assign):
        return False
    names = [each.id for each in statement.targets if isinstance(each, ast.Name)]
    return any(name.lstrip("_")[:1].isupper() and not name.isupper() for name in names)


def _is_type_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _called(node) in _TYPES


def _is_path(node: ast.BinOp) -> bool:
    """A path that is put together, or a union of types: neither can be calculated otherwise."""
    if isinstance(node.op, ast.Div):
        words = ast.unparse(node)
        return "'" in words or any(w in words for w in ("path", "folder", "root", "name"))
    if isinstance(node.op, ast.BitOr):
        return any(isinstance(side, ast.Constant) and side.value is None for side in
                   (node.left, node.right))  # fmt: skip
    return False


def _text(statement: ast.stmt) -> str:
    return ast.unparse(statement).splitlines()[0]
