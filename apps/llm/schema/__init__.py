"""An operator's JSON Schema: its problems, its strict form, and validation of responses."""

from apps.llm.schema.answers import (
    Checker,
    Verdict,
    checker,
    clean,
    missing_required,
    size_problems,
)
from apps.llm.schema.json_text import Problem, SchemaError
from apps.llm.schema.problems import problems
from apps.llm.schema.roots import flat_root, with_built_ins
from apps.llm.schema.strict import CompiledSchema, compile_strict

__all__ = [
    "Checker",
    "CompiledSchema",
    "Problem",
    "SchemaError",
    "Verdict",
    "checker",
    "clean",
    "compile_strict",
    "flat_root",
    "missing_required",
    "problems",
    "size_problems",
    "with_built_ins",
]
