"""Receiver turns asynchronous music generations into tasks that settle exactly once.

The map of the house, from the floor on top to the one that carries everything. Imports go down, never up
and never sideways; the contracts in pyproject.toml are checked by `make check`.

__main__ is `python -m receiver`, the same as the command `receiver`.

cli is what a person types. Each command is thin: it reads options, calls one thing, shows the answer.

doctor is the look at an installation from outside: its keys, its disk, its way in, what the providers think of it.

drill is the loss proof: the service and the sandbox as processes, load, faults, kills, and one balance at the end. It
knows neither of them but by HTTP, so that it would see what a user sees.

bootstrap is the only place where things are joined: `build(settings)` makes a Receiver out of the rooms
below, and `opened()` opens and closes what needs opening. Nothing else constructs a clock, a client, a
store.

web is what others call: the callback door of the providers, the inputs they fetch, the task interface of
the user's application, events, health, measures, and the dashboard for people. It judges nothing; a
callback is verified, bounded, stored, acknowledged.

worker is the loop: it leases what is due, runs its step, lets go.

providers is what others speak, one file for each and a table of them. A provider's file turns values into
values, without input or output: our request into its wire form, its answers into reports.

storage is what we keep: the database engines, their tables and migrations, the one way to write, the audio.

outbound is every call we make, to providers, media and endpoints: its time limits, its size limits, its
addresses.

system is what only the machine knows: the clock, sleep, identifiers, chance, and the named checkpoints at
which a durability test ends the process.

telemetry is what we tell about ourselves: logs, metrics, and the witness that hears of every change to a task once it
is durable. Never bodies, tokens or signed links.

settings is every setting with its meaning and default, read once.

lifecycle is what we do with a task, one verb for each file: submit, accept, poll, settle, collect, sweep, operate,
adopt, erase, replay, retire. A step reaches the world through ports, and other steps only through the store. Below
the steps lies what several of them need: record writes down what came of one, reading understands a report, rules
gathers what a decision needs, pace keeps to the rate of a provider, reception knows how it takes what is submitted,
resting who takes nothing for now, standings keeps that, for one process or for all, lateness measures how long work
waited.

domain is what is true: tasks and their states, reports, results, events, deliveries, tokens, the schedule
of looking, errors. Standard library only; it is told the time, it never asks.

sandbox is both providers on this machine, with faults on demand. It imports nothing of the receiver, so
that one misreading of a provider can not stand on both sides.

sdk is the typed client for the user's own Python program. It imports httpx and nothing of the receiver.
"""
