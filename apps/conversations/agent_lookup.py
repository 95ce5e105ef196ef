"""Find the agent and version of lines that name agents by ID."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q

from apps.agents.models import Agent, AgentVersion

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
    """The agents that some lines name, with their versions, read in two queries."""

    def __init__(
        self, lines: Sequence[ConversationInput], defaults: Mapping[str, Agent] | None = None
    ) -> None:
        self.defaults = defaults or {}
        names = {line.agent for line in lines} | {
            transfer.to_agent for line in lines for transfer in line.transfers
        }
        self.agents: dict[str, list[Agent]] = {}
        agents = {agent.pk: agent for agent in self.defaults.values()}
        for agent in Agent.objects.filter(Q(public_id__in=names) | Q(external_id__in=names - {""})):
            agents[agent.pk] = agent
            for name in {agent.public_id, agent.external_id} & names:
                self.agents.setdefault(name, []).append(agent)
        self.versions: dict[int, list[AgentVersion]] = {}
        self._load(agents)

    def _load(self, agents: Mapping[int, Agent]) -> None:
        versions = (
            AgentVersion.objects.filter(agent__in=agents)
            .only(
                "agent",
                "number",
                "published_at",
                "chat_idle_seconds",
                "summary_field",
                "outcome_field",
                "sentiment_field",
            )
            .order_by("-number")
        )
        for version in versions:
            version.agent = agents[version.agent_id]
            self.versions.setdefault(version.agent_id, []).append(version)

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


def _first_published(versions: Iterable[AgentVersion]) -> AgentVersion | None:
    return next((version for version in versions if version.published_at), None)
