"use strict";
// The player of a trajectory. It is made when the reader comes near it: drawing contexts are few.
(function () {
  const FRAME_TIME = 60; // ms

  function drawCell(viewer, cell) {
    viewer.removeAllShapes();
    if (!cell) return;
    const corner = (i, j, k) => ({
      x: i * cell[0][0] + j * cell[1][0] + k * cell[2][0],
      y: i * cell[0][1] + j * cell[1][1] + k * cell[2][1],
      z: i * cell[0][2] + j * cell[1][2] + k * cell[2][2],
    });
    for (const [a, b] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
      viewer.addLine({ start: corner(0, a, b), end: corner(1, a, b), color: "#5d6b78" });
      viewer.addLine({ start: corner(a, 0, b), end: corner(a, 1, b), color: "#5d6b78" });
      viewer.addLine({ start: corner(a, b, 0), end: corner(a, b, 1), color: "#5d6b78" });
    }
  }

  function start(box) {
    const probe = document.createElement("canvas");
    if (!(probe.getContext("webgl2") || probe.getContext("webgl"))) throw new Error("WebGL is off");
    const scene = JSON.parse(box.querySelector("script").textContent);
    const stage = box.querySelector(".stage");
    const slider = box.querySelector("input");
    const label = box.querySelector("output");
    const button = box.querySelector("button.play");
    box.classList.add("live"); // the stage needs a size before it is drawn on
    const viewer = $3Dmol.createViewer(stage, {
      backgroundColor: "white",
      antialias: true,
      disableFog: true,
    });
    viewer.addModelsAsFrames(scene.xyz, "xyz", { assignBonds: scene.bonds });
    viewer.setStyle({}, scene.bonds
      ? { stick: { radius: 0.12, colorscheme: "Jmol" }, sphere: { scale: 0.26, colorscheme: "Jmol" } }
      : { sphere: { scale: 0.3, colorscheme: "Jmol" } });
    if (scene.cells.length) viewer.rotate(-75, "x").rotate(20, "y");
    const density = scene.cube ? new $3Dmol.VolumeData(scene.cube, "cube") : null;
    function drawShapes(cell) {
      drawCell(viewer, cell);
      if (density) {
        viewer.addIsosurface(density, { isoval: scene.level, color: "#0072B2", opacity: 0.7 });
      }
    }
    drawShapes(scene.cells[0]);
    const look = () => { viewer.zoomTo(); viewer.zoom(scene.cells.length ? 0.9 : 1.3); };
    look();

    const count = scene.labels.length;
    const pace = scene.pace || FRAME_TIME;
    let frame = 0;
    let timer = null;
    async function show(next) {
      const before = frame;
      frame = (next + count) % count;
      await viewer.setFrame(frame);
      drawShapes(scene.cells[frame]);
      // Structures of other sizes are looked at from as far as they need.
      if (scene.sizes && scene.sizes[frame] !== scene.sizes[before]) look();
      viewer.render();
      slider.value = frame;
      label.textContent = scene.labels[frame];
      box.dataset.frame = frame;
    }
    // The next frame is asked for when this one is drawn: a slow machine plays slowly.
    async function advance() {
      await show(frame + 1);
      if (timer !== null) timer = setTimeout(advance, pace);
    }
    function play(on) {
      clearTimeout(timer);
      timer = on ? setTimeout(advance, 0) : null;
      button.textContent = on ? "Pause" : "Play";
      button.setAttribute("aria-pressed", String(on));
    }
    button.addEventListener("click", () => play(timer === null));
    slider.addEventListener("input", () => { play(false); show(Number(slider.value)); });
    box.querySelector("button.reset").addEventListener("click", () => {
      look();
      viewer.render();
    });
    // The wheel scrolls the page; with Ctrl it zooms.
    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) event.stopImmediatePropagation();
    }, { capture: true });
    new ResizeObserver(() => {
      if (stage.clientWidth === 0) return; // hidden, as on paper
      viewer.resize();
      viewer.render();
    }).observe(stage);
    return show(0);
  }

  function startOrSay(box) {
    try {
      Promise.resolve(start(box)).catch((error) => console.warn(error));
    } catch (error) {
      box.classList.remove("live");
      box.querySelector(".excuse").hidden = false;
      console.warn("No 3D view: " + error);
    }
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      startOrSay(entry.target);
    }
  }, { rootMargin: "300px" });
  document.querySelectorAll(".viewer").forEach((box) => watcher.observe(box));
})();
