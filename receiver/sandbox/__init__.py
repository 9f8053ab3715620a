"""Both providers on this machine: their HTTP interfaces, real audio, faults on demand, and a ledger of the truth.

Nothing here is shared with the rest of `receiver`: a misreading of a provider must not stand on both sides.
This module stays empty of imports so that reading the fault names (for command line flags) costs nothing.

For callers:
    config.SandboxConfig      seed, time scale and faults of one sandbox
    faults.Faults             every fault and switch; `faults.fault_options()` lists them for flags
    faults_reader             `faults_from_text()` reads what was typed, `faults_from_document()` reads JSON
    server.run                serve until cancelled or told to stop
    app.create_app            the same as a Starlette app

Rooms:
    app, server               joining the parts; uvicorn with a prompt and clean stop
    state                     what one running sandbox holds
    runware*, aimlapi*        the two providers: routes, checks of a request, words of an answer
    refusals                  requests turned away at the door (429, 5xx, any other)
    engine, generation        accepted generations, their fate and their course; `moment` is what one waits for
    chance                    randomness keyed by (seed, provider, submit ordinal)
    callbacks, courier        what the sandbox sends by itself, and how
    links, media              signed, expiring links, and the bytes behind them
    studio                    audio on demand: tune (notes), encode, flac, mp3, samples (formats)
    control, ledger           `/_sandbox`: faults in, truth out
    wire, spoil               bounded, strict JSON in and JSON out; broken bodies and answers that never come
"""
