"""Rules: what a decision about a task needs besides the task, gathered from its provider and our limits."""

from receiver.domain.settlement import SettleRules
from receiver.domain.submission import SubmitRules
from receiver.domain.task import Task
from receiver.lifecycle.planning import plan_for
from receiver.lifecycle.ports import Ports, Provider


def settle_rules(ports: Ports, provider: Provider) -> SettleRules:
    """Gather what settling reports of one provider needs."""
    return SettleRules(
        plan=lambda task: plan_for(ports, provider, task),
        trusted_link=provider.trusts,
        # Beside those of the moment before: ids drawn at random each took a page of the index for themselves, and the
        # pages were two thirds of what a commit of a batch writes.
        new_id=ports.system.new_key,
    )


def submit_rules(ports: Ports, provider: Provider, task: Task) -> SubmitRules:
    """Gather what decides the times after a submit of ``task``."""
    return SubmitRules(
        recovery=provider.recovery,
        plan=plan_for(ports, provider, task),
        queue_max=ports.limits.queue_max,
        lookups=provider.lookups,
        jitter=ports.system.jitter(),
    )
