"""Mutation operators: each makes one plausible mistake in the code. cosmic-ray applies them and has the simple ones.

The operators here make the mistakes that matter in this project: a sync, a lock or a look under a lock that is missing.
"""

import re
from collections.abc import Iterator
from typing import Any

import parso
from cosmic_ray.operators import (
    binary_operator_replacement,
    boolean_replacer,
    break_continue,
    comparison_operator_replacement,
    number_replacer,
    unary_operator_replacement,
    zero_iteration_for_loop,
)
from cosmic_ray.operators.operator import Operator

Span = tuple[tuple[int, int], tuple[int, int]]
"""Where a mutation is: line and column of its beginning and of its end."""


class _NodeOperator(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """An operator that replaces children of a node: `_find` returns (index of the child, new code) for each mutant."""

    def _find(self, node: Any) -> list[tuple[int, str]]:
        raise NotImplementedError

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        for index, _ in self._find(node):
            yield node.children[index].start_pos, node.children[index].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        child, code = self._find(node)[index]
        prefix = node.children[child].get_first_leaf().prefix
        node.children[child] = parso.parse(prefix + code)
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class RemoveCall(_NodeOperator):
    """Replaces a call whose result is not used by `pass`."""

    def _find(self, node: Any) -> list[tuple[int, str]]:
        if node.type != "simple_stmt" or node.children[0].type != "atom_expr":
            return []
        return [(0, "pass")] if node.children[0].children[-1].get_first_leaf().value == "(" else []


class RemoveAssignment(_NodeOperator):
    """Removes an assignment to what has a value already: an attribute, or a name that was assigned before."""

    def _find(self, node: Any) -> list[tuple[int, str]]:
        statement = node.children[0] if node.type == "simple_stmt" else None
        if statement is None or statement.type != "expr_stmt" or statement.children[1].type == "annassign":
            return []
        function = parso.tree.search_ancestor(statement, "funcdef")
        if not function or function.name.value == "__init__":
            return []
        before = {parameter.name.value for parameter in function.get_params()}
        before |= {
            name.value
            for each in _nodes(function)
            if each.type == "expr_stmt" and each.start_pos < statement.start_pos
            for name in each.get_defined_names()
        }
        target = statement.children[0]
        return [(0, "pass")] if target.type == "atom_expr" or target.get_code().strip() in before else []


class FixCondition(_NodeOperator):
    """Makes a condition always true and always false. A loop is not made endless."""

    def _find(self, node: Any) -> list[tuple[int, str]]:
        if node.type == "while_stmt":
            return [(1, " False")]
        if node.type == "if_stmt":
            at = [i + 1 for i, child in enumerate(node.children) if _text(child) in ("if", "elif")]
        elif node.type in ("test", "ternary"):
            at = [2]
        elif node.type == "comp_if":
            at = [1]
        else:
            at = []
        return [(each, code) for each in at for code in ("True", "False")]


class RemoveContext(_NodeOperator):
    """Enters nothing instead of a lock or another context without a name."""

    def _find(self, node: Any) -> list[tuple[int, str]]:
        if node.type != "with_stmt":
            return []
        items = [
            i for i, child in enumerate(node.children[1:-2], 1) if child.type not in ("operator", "with_item")
        ]
        return [(each, '__import__("contextlib").nullcontext()') for each in items]


class CatchNothing(_NodeOperator):
    """Catches an exception that is never raised."""

    def _find(self, node: Any) -> list[tuple[int, str]]:
        return [(1, "NotADirectoryError.__mro__[0:0]")] if node.type == "except_clause" else []


def _text(node: Any) -> str:
    return str(getattr(node, "value", ""))


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


_SIMPLE = {
    *("ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_NotEq_Eq"),
    *("ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_LtE_Lt"),
    *("ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_GtE_Gt"),
    *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
    *("ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add"),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub"),
}
OPERATORS: tuple[type[Operator], ...] = (
    *(RemoveCall, RemoveAssignment, FixCondition, RemoveContext, CatchNothing),
    *(boolean_replacer.ReplaceTrueWithFalse, boolean_replacer.ReplaceFalseWithTrue),
    *(boolean_replacer.ReplaceAndWithOr, boolean_replacer.ReplaceOrWithAnd),
    *(break_continue.ReplaceBreakWithContinue, break_continue.ReplaceContinueWithBreak),
    *(number_replacer.NumberReplacer, zero_iteration_for_loop.ZeroIterationForLoop),
    *(
        operator
        for module in (
            comparison_operator_replacement,
            binary_operator_replacement,
            unary_operator_replacement,
        )
        for operator in module.operators()
        if operator.__name__ in _SIMPLE
    ),
)
NEVER_SAMPLED = (RemoveCall, RemoveAssignment, RemoveContext)
"""The operators whose mutants are all tried on the lines that `CRITICAL` finds."""
CRITICAL = re.compile("sync|lock|exclusive|confirm|read_others|log_state|reap")
"""What stands in a line that takes a lock, writes to the disk, reads what others wrote, or takes an exit status."""
