"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset("few", "Five steps", "Too few for any sampler: points stop on the way between modes.", {"steps": 5}),
    Preset("first-order", "A first-order sampler", "DDIM with the same ten evaluations ends several times as far off.",
           {"sampler": "ddim"}),
    Preset("edm", "As EDM has it", "Heun's method along σ, on Karras' grid.",
           {"schedule": "edm", "sampler": "edm-heun", "spacing": "karras", "steps": 18}),
    Preset("straight", "Straight lines", "The linear schedule, on which Euler's method is DDIM.",
           {"schedule": "linear", "sampler": "euler", "spacing": "time", "steps": 20}),
    Preset("ancestral", "Ancestral sampling", "DDPM: as much fresh noise as its posterior has.",
           {"sampler": "ancestral", "steps": 50}),
    Preset("reverse", "The reverse equation", "Euler-Maruyama, which needs many steps.", {"sampler": "sde", "steps": 200}),
    Preset("line", "On a line", "Flow lines through three modes, with the straight chords of average velocity.",
           {"data": "modes-1d", "steps": 20}),
    Preset("guided", "Guidance", "Ask for the first Gaussian, with w = 3: narrower than the tilted law.",
           {"guided": True, "w": 3.0, "steps": 40}),
    Preset("one-step", "One step", "A consistency model, distilled from the exact flow: one call does what DDIM can't.",
           {"train_steps": 3000, "schedule": "edm"}),
    Preset("meanflow", "Mean flow", "Average velocities, learned from data alone, without a teacher.",
           {"train_steps": 3000, "learns": "meanflow", "schedule": "linear"}),
    Preset("digits", "Digits", "64 dimensions and no known law: the exact denoiser of the stored data leads back to them.",
           {"data": "digit-samples", "steps": 20, "particles": 100}),
    Preset("checkerboard", "A checkerboard", "A law with edges, on Karras' grid.",
           {"data": "checkerboard", "spacing": "karras", "steps": 20}),
)
