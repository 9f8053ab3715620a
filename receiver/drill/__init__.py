"""The loss proof: real processes under load, faults and kills, then one balance against the sandbox's own ledger.

ground      the folder, the database and the settings of a drill: only limits and disks are this installation's
database    where the installation is on PostgreSQL: a database of the drill's own on the same server
bucket      where the audio is kept in one: emptied of the drill's own when it is over
processes   the sandbox and the service as children of ours, started, killed and ended by their ids
roles       which processes of the service take part
door        the proxy before those that take callbacks, where that is a role of its own
sides       what the service and the sandbox say, over HTTP
load        callers that ask again until each task is acknowledged
loiterers   callers that hang about: half a message and then silence, or a few bytes at a time
outages     the folder of the audio gone for a while
play        all of it at once, and then the wait for rest
balance     both sides' books held against each other: pure
account     what a drill found, as figures and as lines to read

It speaks to what it drills as strangers do: processes and HTTP. So it knows neither the sandbox nor the service.
"""
