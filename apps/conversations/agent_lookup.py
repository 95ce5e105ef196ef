"""Find the agent and version of lines that name agents by ID."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from apps.agents.models import Agent, AgentVersion, AnalysisConfig
from apps.core.database import columns_of, read_models, some_columns
from apps.llm.models import LanguageModel

from .inputs import ConversationInput, LineRefused
from .models import TransferSetting


@dataclass(frozen=True, slots=True)
class Step:
    """One transfer, resolved."""

    after_message: int
    version: AgentVersion
    setting: str


@dataclass(frozen=True, slots=True)
class Route:
    """Who handled a conversation: the first version, then the transfers."""

    version: AgentVersion
    steps: tuple[Step, ...]

    @property
    def last_version(self) -> AgentVersion:
        """Return the version that handles it now."""
        return self.steps[-1].version if self.steps else self.version

    @property
    def chain(self) -> str:
        """`Conversation.route`: the agents from the last *Only transferred agent* on."""
        agents = [self.version.agent_id]
        for step in self.steps:
            if step.setting == TransferSetting.ONLY_DESTINATION_AGENT:
                agents = []
            agents.append(step.version.agent_id)
        return "+".join(str(pk) for pk in agents)


class AgentBook:
    """The agents that some lines name, with the versions that may have handled them: one query."""

    def __init__(
        self, lines: Sequence[ConversationInput], defaults: Mapping[str, Agent] | None = None
    ) -> None:
        self.defaults = defaults or {}
        names = {line.agent for line in lines} | {
            transfer.to_agent for line in lines for transfer in line.transfers
        }
        numbers = {line.agent_version for line in lines if line.agent_version is not None}
        self.agents: dict[str, list[Agent]] = {}
        self.versions: dict[int, list[AgentVersion]] = {}
        known: dict[int, Agent] = {}
        for version in _versions(names, self.defaults.values(), numbers):
            agent = version.agent = known.setdefault(version.agent_id, version.agent)
            if agent.pk not in self.versions:
                for name in {agent.public_id, agent.external_id} & names:
                    self.agents.setdefault(name, []).append(agent)
            self.versions.setdefault(agent.pk, []).append(version)

    def route(self, line: ConversationInput) -> Route:
        """Who handled this line. Raises LineRefused for an agent or version that is unknown."""
        agent = self._agent(line)
        steps = [
            Step(
                transfer.after_message,
                self._latest(self._named(transfer.to_agent, line.channel, "to_agent_id")),
                transfer.setting,
            )
            for transfer in line.transfers
        ]
        return Route(self._version(agent, line.agent_version), tuple(steps))

    def _agent(self, line: ConversationInput) -> Agent:
        if line.agent:
            return self._named(line.agent, line.channel, "agent_id")
        if (default := self.defaults.get(line.channel)) is not None:
            return default
        raise LineRefused("missing_field", "agent_id is required.", "agent_id")

    def _named(self, name: str, channel: str, field: str) -> Agent:
        found = self.agents.get(name, [])
        if not found:
            raise LineRefused("unknown_agent", f"{field}: no agent with ID “{name}”.", field)
        fitting = [agent for agent in found if agent.channel == channel]
        if not fitting:
            raise LineRefused(
                "channel_mismatch",
                f"{field}: the agent “{name}” is a {found[0].channel} agent, "
                f"the channel of the conversation is {channel}.",
                field,
            )
        if len(fitting) > 1:
            raise LineRefused(
                "unknown_agent",
                f"{field}: more than one agent is named “{name}”. Use an agent ID.",
                field,
            )
        return fitting[0]

    def _version(self, agent: Agent, number: int | None) -> AgentVersion:
        if number is None:
            return self._latest(agent)
        for version in self.versions.get(agent.pk, ()):
            if version.number == number:
                return version
        raise LineRefused(
            "unknown_version",
            f"agent_version: {agent.name} has no version {number}.",
            "agent_version",
        )

    def _latest(self, agent: Agent) -> AgentVersion:
        """Return the newest published version, else the draft."""
        versions = self.versions[agent.pk]
        return _first_published(versions) or versions[0]


_PARTS = (
    some_columns(
        AgentVersion,
        {"id", "agent_id", "number", "config_id", "published_at", "chat_idle_seconds"}
        | {"post_analysis_enabled", "sample_percent", "min_seconds", "min_messages"}
        | {"summary_field", "outcome_field", "sentiment_field"},
    ),
    some_columns(
        Agent,
        {"id", "public_id", "external_id", "name", "channel", "unconfigured", "deactivated_at"},
    ),
    some_columns(AnalysisConfig, {"id", "sha256", "document", "model_id"}),
    some_columns(LanguageModel, {"id", "name", "enabled"}),
)
_VERSIONS = f"""
SELECT {columns_of(*_PARTS)}
FROM agents_agentversion
JOIN agents_agent ON agents_agent.id = agents_agentversion.agent_id
JOIN agents_analysisconfig ON agents_analysisconfig.id = agents_agentversion.config_id
JOIN llm_languagemodel ON llm_languagemodel.id = agents_analysisconfig.model_id
WHERE (agents_agent.public_id = ANY(%s) OR agents_agent.external_id = ANY(%s)
       OR agents_agent.id = ANY(%s::bigint[]))
  AND (agents_agentversion.number = ANY(%s::int[]) OR agents_agentversion.number >= (
       SELECT coalesce(max(p.number), 0) FROM agents_agentversion p
       WHERE p.agent_id = agents_agent.id AND p.published_at IS NOT NULL))
ORDER BY agents_agentversion.number DESC, agents_agent.id
"""  # noqa: S608 (columns named above)


def _versions(
    names: set[str], agents: Iterable[Agent], numbers: set[int]
) -> Iterator[AgentVersion]:
    """Yield versions of agents by ID, the newest first: the newest published one, the draft,
    and those with these numbers. Each comes with what a first analysis needs of it."""
    keys = [list(names), list(names - {""}), [agent.pk for agent in agents], list(numbers)]
    for version, agent, config, model in read_models(_VERSIONS, keys, *_PARTS):
        config.model = model
        version.agent, version.config = agent, config
        yield version


def _first_published(versions: Iterable[AgentVersion]) -> AgentVersion | None:
    return next((version for version in versions if version.published_at), None)
