// Draws the sound of each result above its player, where it can be decoded. The player works without it.
"use strict";
(() => {
  // Decoding takes memory: ten times the file and more.
  const MOST_BYTES = 24000000;
  const BARS = 160;
  const done = new WeakSet();

  const peaks = (buffer) => {
    const data = buffer.getChannelData(0);
    const step = Math.max(1, Math.floor(data.length / BARS));
    const found = [];
    for (let at = 0; at + step <= data.length && found.length < BARS; at += step) {
      let most = 0;
      for (let each = at; each < at + step; each += 16) { most = Math.max(most, Math.abs(data[each])); }
      found.push(most);
    }
    const loudest = Math.max(...found, 0.01);
    return found.map((one) => one / loudest);
  };

  const draw = (canvas, heights, played) => {
    const style = getComputedStyle(canvas);
    const wide = canvas.clientWidth, high = canvas.clientHeight, sharp = window.devicePixelRatio || 1;
    canvas.width = wide * sharp;
    canvas.height = high * sharp;
    const pen = canvas.getContext("2d");
    pen.scale(sharp, sharp);
    const width = wide / heights.length;
    heights.forEach((height, at) => {
      pen.fillStyle = style.getPropertyValue(at / heights.length < played ? "--accent" : "--wait-fill");
      const size = Math.max(2, height * (high - 8));
      pen.fillRect(at * width + width * 0.15, (high - size) / 2, width * 0.7, size);
    });
  };

  const listen = async (player) => {
    const canvas = player.querySelector("canvas"), audio = player.querySelector("audio");
    const answer = await fetch(audio.src, { credentials: "same-origin" });
    if (!answer.ok) { return; }
    const bytes = await answer.arrayBuffer();
    const sound = new OfflineAudioContext(1, 1, 22050);
    const heights = peaks(await sound.decodeAudioData(bytes));
    canvas.hidden = false;
    const again = () => draw(canvas, heights, audio.duration ? audio.currentTime / audio.duration : 0);
    again();
    audio.addEventListener("timeupdate", again);
    new ResizeObserver(again).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    canvas.addEventListener("click", (event) => {
      const at = event.offsetX / canvas.clientWidth;
      const go = () => { audio.currentTime = at * audio.duration; };
      if (audio.duration) { go(); } else { audio.addEventListener("loadedmetadata", go, { once: true }); }
      audio.play();
    });
  };

  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting || done.has(entry.target)) { return; }
    done.add(entry.target);
    listen(entry.target).catch(() => {});
  }));
  const look = () => document.querySelectorAll(".player").forEach((player) => {
    if (Number(player.dataset.bytes) <= MOST_BYTES) { seen.observe(player); }
  });
  // To compare is to hear one, then the other.
  document.addEventListener("play", (event) => document.querySelectorAll("audio").forEach((one) => {
    if (one !== event.target) { one.pause(); }
  }), true);
  look();
  document.body.addEventListener("htmx:after:swap", look);
})();
