"""Find what lines refer to, by one query each: agents by their IDs, contacts by number or email.

An agent or a version that is unknown rejects its line. A contact that is unknown is created.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from apps.agents.models import Agent, AgentVersion, AnalysisConfig
from apps.contacts.models import Contact, ContactAlias
from apps.contacts.values import BUILT_IN_TARGETS
from apps.contacts.writes import fill
from apps.core.database import columns_of, insert_new, read_models, some_columns
from apps.llm.models import LanguageModel

from .inputs import ContactInput, ConversationInput, LineRefused
from .models import TransferSetting

# Agents


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


_AGENT_PARTS = (
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
SELECT {columns_of(*_AGENT_PARTS)}
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
    for version, agent, config, model in read_models(_VERSIONS, keys, *_AGENT_PARTS):
        config.model = model
        version.agent, version.config = agent, config
        yield version


def _first_published(versions: Iterable[AgentVersion]) -> AgentVersion | None:
    return next((version for version in versions if version.published_at), None)


# Contacts


def contacts_for(people: Sequence[ContactInput]) -> dict[ContactInput, Contact]:
    """Return the contact of each person who has a number or an email. The number decides before it.

    Safe against others who make the same contact at the same moment: the first one stays.
    """
    wanted = [person for person in dict.fromkeys(people) if person.phone_number or person.email]
    if not wanted:
        return {}
    known = _Known(wanted)
    new: list[Contact] = []
    for person in wanted:
        contact = known.of(person)
        if contact is None:
            new.append(known.add(_filled(Contact(), known.missing(Contact(), person))))
        elif any(contact is made for made in new):
            known.add(_filled(contact, known.missing(contact, person)))
    if new:
        insert_new(new, returning="public_id")
        known = _Known(wanted)
    found: dict[ContactInput, Contact] = {}
    for person in wanted:
        contact = known.of(person)
        if contact is not None:
            _save(contact, known.missing(contact, person))
            found[person] = known.add(contact)
    return found


_CONTACT_PARTS = (
    some_columns(
        Contact,
        {"id", "public_id", "phone_number", "email", "first_name", "last_name", "provided"},
    ),
    some_columns(ContactAlias, {"id", "phone_number", "email"}),
)
_CONTACTS = f"""
SELECT {columns_of(_CONTACT_PARTS[0])}, NULL, NULL, NULL FROM contacts_contact
WHERE phone_number = ANY(%s) OR email = ANY(%s)
UNION ALL
SELECT {columns_of(*_CONTACT_PARTS)} FROM contacts_contactalias
JOIN contacts_contact ON contacts_contact.id = contacts_contactalias.contact_id
WHERE contacts_contactalias.phone_number = ANY(%s) OR contacts_contactalias.email = ANY(%s)
ORDER BY {len(_CONTACT_PARTS[0].names) + 1} NULLS FIRST, 1
"""  # noqa: S608 (columns named above)


class _Known:
    """Contacts by phone number and by email, their own or that of a contact merged into them.

    One statement reads both: it sees a merge whole, or not at all.
    """

    def __init__(self, people: Sequence[ContactInput]) -> None:
        self.by_phone: dict[str, Contact] = {}
        self.by_email: dict[str, Contact] = {}
        phones = sorted({person.phone_number for person in people} - {""})
        emails = sorted({person.email for person in people} - {""})
        one_each: dict[int, Contact] = {}
        for row, alias in read_models(_CONTACTS, [phones, emails] * 2, *_CONTACT_PARTS):
            contact = self.add(one_each.setdefault(row.pk, row))
            if alias.phone_number:
                self.by_phone.setdefault(alias.phone_number, contact)
            if alias.email:
                self.by_email.setdefault(alias.email, contact)

    def add(self, contact: Contact) -> Contact:
        if contact.phone_number:
            self.by_phone.setdefault(contact.phone_number, contact)
        if contact.email:
            self.by_email.setdefault(contact.email, contact)
        return contact

    def of(self, person: ContactInput) -> Contact | None:
        """By the number first; by the email only where that is not someone of another number."""
        if person.phone_number in self.by_phone:
            return self.by_phone[person.phone_number]
        contact = self.by_email.get(person.email)
        if contact and person.phone_number and contact.phone_number:
            return None
        return contact

    def missing(self, contact: Contact, person: ContactInput) -> dict[str, str]:
        """What the person brings that the contact lacks; another's number or email stays there.

        Also a name that only a mapping set: it comes back when the mapped one goes.
        """
        return {
            name: value
            for name in ("phone_number", "email", "first_name", "last_name")
            if (value := getattr(person, name))
            and (
                not getattr(contact, name) or (name != "email" and contact.provided.get(name) == "")
            )
            and not (name == "phone_number" and value in self.by_phone)
            and not (name == "email" and value in self.by_email)
        }


def _filled(contact: Contact, missing: Mapping[str, str]) -> Contact:
    for name, value in missing.items():
        setattr(contact, name, getattr(contact, name) or value)
        if name in BUILT_IN_TARGETS:
            contact.provided = {**contact.provided, name: value}
    return contact


def _save(contact: Contact, missing: Mapping[str, str]) -> None:
    """Add missing values; a value that someone else takes at this moment stays with them."""
    if not missing:
        return
    try:
        with transaction.atomic():
            fill(contact.pk, missing)
            _filled(contact, missing)
    except IntegrityError:
        contact.refresh_from_db()
