"""Plan an analysis: the config, its version, and its history columns, for a transfer path.

Reruns and backfills use the *drafts* of the agents on the path, the first analysis uses the
versions that handled the conversation. `merge_configs` merges the configs of a transferred one.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apps.llm.models import LanguageModel
from apps.llm.schema import flat_root
from apps.llm.schema.nodes import escape, mapping_of, names_of

from .documents import PROMPT_REVISION, Columns, ConfigDocument, Schema, resolve
from .models import AgentVersion, AnalysisConfig

#: A version in a chain, with the setting of the transfer that led to it ("" for the first).
Step = tuple[str, AgentVersion]


@dataclass(frozen=True, slots=True)
class Plan:
    """What reads a conversation. ``version`` is that of the last agent, whose prompts lead.

    ``problems`` are messages for a person; where there are any, nothing may be sent.
    """

    config: AnalysisConfig
    document: ConfigDocument
    version: AgentVersion
    columns: Columns
    versions: tuple[AgentVersion, ...]
    problems: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """For example “Billing line V5 draft + Technical line V3 draft”."""
        return " + ".join(f"{version.agent.name} {version}" for version in self.versions)


def store_config(document: ConfigDocument) -> AnalysisConfig:
    """Return the row of a config document, made where it is new. Equal documents are one row."""
    sha256 = document.sha256()
    existing = AnalysisConfig.objects.filter(sha256=sha256).select_related("model").first()
    if existing:
        return existing
    model = LanguageModel.objects.get(name=document.model)
    AnalysisConfig.objects.bulk_create(
        [AnalysisConfig(sha256=sha256, document=document.text(), model=model)],
        ignore_conflicts=True,
    )
    return AnalysisConfig.objects.select_related("model").get(sha256=sha256)


def plan_for_steps(steps: Sequence[Step]) -> Plan:
    """Fold a chain of versions. Raises ValueError for an empty chain."""
    if not steps:
        raise ValueError("A chain of agents has at least one version.")
    (_, first), rest = steps[0], steps[1:]
    versions = tuple(version for _, version in _normalised(steps))
    last = versions[-1]
    links: list[Link] = [
        (setting, version.agent.public_id, as_sent(version)) for setting, version in rest
    ]
    document = merge_configs(first.agent.public_id, as_sent(first), links)
    config = last.config if document is last.config.parsed() else store_config(document)
    return Plan(
        config=config,
        document=document,
        version=last,
        columns=last.columns,
        versions=versions,
        problems=tuple(p for v in dict.fromkeys(versions) for p in problems_of(v)),
    )


def as_sent(version: AgentVersion) -> ConfigDocument:
    """Return the version's config as a request made now says it.

    A version that was saved before the prompt builder changed is read by the builder of today,
    draft or published: its results must be named by the config that was really sent.
    Else they would pass for earlier ones, and a backfill would skip them (decision 0014).
    """
    document = version.config.parsed()
    if document.revision == PROMPT_REVISION:
        return document
    return replace(document, revision=PROMPT_REVISION)


def plans_for_routes(routes: Iterable[str]) -> dict[str, Plan]:
    """The plan of each route by the agents' drafts: one query, and one for each route that merges.

    What a merge amounts to is stored where it is new, also for a preview: configs are named by
    their content, so that it changes nothing for anybody.

    A route is a chain of agents' primary keys joined by ``+``, normalized: what an
    *Only transferred agent* transfer made irrelevant is not in it.
    """
    wanted = set(routes)
    ids = {int(part) for route in wanted for part in route.split("+")}
    drafts: Mapping[int, AgentVersion] = {
        version.agent_id: version
        for version in AgentVersion.objects.drafts().with_config().filter(agent_id__in=ids)
    }
    return {
        route: plan_for_steps(
            [("both_agents" if i else "", drafts[int(p)]) for i, p in enumerate(route.split("+"))]
        )
        for route in wanted
    }


def problems_of(version: AgentVersion) -> tuple[str, ...]:
    """Return why a version cannot be run as it is, in messages; empty where it can."""
    problems = []
    name = f"{version.agent.name} {version}"
    if not version.config.parsed().field_names():
        problems.append(f"{name} has nothing to fill in: switch on a built-in or add a field.")
    if not version.config.model.enabled:
        problems.append(f"{name} uses {version.config.model.name}, which is switched off.")
    return tuple(problems)


def config_of(
    version: AgentVersion, editor: Mapping[str, object], *, model: LanguageModel
) -> AnalysisConfig:
    """Return the config that an editor document of this version amounts to, stored."""
    document = resolve(
        channel=version.agent.channel,
        editor={**editor, "model": model.name},
        long_transcript="truncate" if version.long_transcript == "truncate" else "refuse",
        parameters=model.parameters,
    )
    return store_config(document)


def _normalised(steps: Sequence[Step]) -> Sequence[Step]:
    """Return the chain from the last *Only transferred agent* transfer on."""
    for index in range(len(steps) - 1, 0, -1):
        if steps[index][0] == "only_destination_agent":
            return steps[index:]
    return steps


#: One link of a chain: the transfer's setting, the destination's public id, its document.
Link = tuple[str, str, ConfigDocument]

DEFINITIONS = ("$defs", "definitions")


def merge_configs(first_id: str, first: ConfigDocument, links: Sequence[Link]) -> ConfigDocument:
    """Fold a chain of agents into the one config that reads the conversation.

    ``only_destination_agent`` takes the destination's configuration whole; ``both_agents`` merges
    it into the result so far. ``first_id`` and the ids in ``links`` name the agents whose
    ``$defs`` stay separate. A chain without transfers is the first agent's document, unchanged,
    so that it has the same hash as the draft itself.
    """
    current, current_id = first, first_id
    merged = False
    for setting, agent_id, document in links:
        if setting == "only_destination_agent":
            current, merged = document, False
        else:
            source = current if merged else _with_own_defs(current, current_id)
            current, merged = _merge(source, _with_own_defs(document, agent_id)), True
        current_id = agent_id
    return current


def _merge(source: ConfigDocument, destination: ConfigDocument) -> ConfigDocument:
    """Union of the fields; all else is the destination's; both analysis prompts, source first."""
    inherited = tuple(i for i in source.instructions if i not in destination.instructions)
    return ConfigDocument(
        channel=destination.channel,
        model=destination.model,
        parameters=destination.parameters,
        built_ins=destination.built_ins,
        instructions=inherited + destination.instructions,
        schema=_merge_schemas(source.schema, destination.schema),
        long_transcript=destination.long_transcript,
        revision=destination.revision,
    )


def _merge_schemas(source: Schema, destination: Schema) -> Schema:
    """Return the destination's schema with the fields that only the source has.

    Where fields are added, rules of the destination about the whole object go: it knew nothing of
    those fields. The fields that such rules speak of stay, as optional ones.
    """
    ours, theirs = flat_root(source), flat_root(destination)
    own = mapping_of(theirs.get("properties"))
    fields = mapping_of(ours.get("properties"))
    inherited = {name: value for name, value in fields.items() if name not in own}
    if inherited or theirs is destination:
        required = [name for name in names_of(ours.get("required")) if name in inherited]
        merged = {
            **theirs,
            "type": "object",
            "properties": {**inherited, **own},
            "required": required + names_of(theirs.get("required")),
        }
    else:
        merged = dict(destination)
    for keyword in DEFINITIONS:
        definitions = {**mapping_of(source.get(keyword)), **mapping_of(destination.get(keyword))}
        if definitions:
            merged[keyword] = definitions
    return merged


def _with_own_defs(document: ConfigDocument, agent_id: str) -> ConfigDocument:
    """Return the document with its definitions renamed by agent, references included."""
    listed = [(k, n) for k in DEFINITIONS for n in mapping_of(document.schema.get(k))]
    if not listed:
        return document
    renamed = {
        f"#/{keyword}/{escape(name)}": f"#/{keyword}/{escape(f'{agent_id}.{name}')}"
        for keyword, name in listed
    }
    schema = rewrite_refs(document.schema, renamed)
    for keyword in dict.fromkeys(keyword for keyword, _ in listed):
        schema[keyword] = {f"{agent_id}.{name}": v for name, v in schema[keyword].items()}
    return replace(document, schema=schema)


def rewrite_refs(schema: Schema, renamed: dict[str, str]) -> Schema:
    """A copy in which each local ``$ref`` below a renamed definition points to its new name."""

    def hook(node: dict[str, Any]) -> dict[str, Any]:
        ref = node.get("$ref")
        if isinstance(ref, str):
            for old, new in renamed.items():
                if ref == old or ref.startswith(old + "/"):
                    node["$ref"] = new + ref[len(old) :]
        return node

    copy: Schema = json.loads(json.dumps(schema), object_hook=hook)
    return copy
