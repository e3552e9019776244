import { type Section, standingOf } from './report.ts';

/** A page that needs nothing beside itself. */
export function htmlOf(sections: readonly Section[], at: Date): string {
  const broken = sections.filter((section) => standingOf(section) === 'broken').length;
  const notRun = sections.filter((section) => standingOf(section) === 'not run').length;
  const verdict = broken > 0 ? 'Something broke' : 'Everything that was run held';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Keyturn: the proof</title><style>${style}</style></head><body><main>
<header><p class="brand">Keyturn</p><h1>${verdict}</h1>
<p class="lead">Parts that held: ${sections.length - broken - notRun}, that broke: ${broken}, not run: ${notRun}. ${escaped(at.toISOString())}</p></header>
${sections.map(sectionOf).join('\n')}
</main></body></html>
`;
}

function sectionOf(section: Section): string {
  const { title, explanation, lines, otherwise, figures } = section;
  const standing = standingOf(section);
  const facts = figures
    .map(([name, value]) => `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd></div>`)
    .join('');
  const rows = (lines ?? [])
    .map(
      ({ part, what, run, held }) =>
        `<tr${run === held ? '' : ' class="broken"'}><td>${escaped(part)}</td><td>${escaped(what)}</td><td class="number">${run}</td><td class="number">${held}</td></tr>`,
    )
    .join('');
  const table = `<table><thead><tr><th>Part</th><th>What</th><th class="number">Run</th><th class="number">Held</th></tr></thead><tbody>${rows}</tbody></table>`;
  return `<section><div class="title"><h2>${escaped(title)}</h2><span class="badge ${standing.replace(' ', '-')}">${standing}</span></div>
<p>${escaped(explanation)}</p>${facts && `<dl>${facts}</dl>`}${lines ? table : `<p class="otherwise">${escaped(otherwise)}</p>`}</section>`;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const style = `
:root{color-scheme:light dark;--ink:#16202b;--soft:#5b6875;--line:#dfe5ea;--page:#f6f8f9;--card:#fff;--good:#0f7b4f;--bad:#b3261e;--idle:#6b7680}
@media (prefers-color-scheme:dark){:root{--ink:#e8edf1;--soft:#9aa7b2;--line:#2b3640;--page:#11181e;--card:#19222a;--good:#4cc38a;--bad:#ff8a80;--idle:#93a0ab}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:3rem 1.25rem 4rem}header{margin-bottom:2rem}
.brand{margin:0;color:var(--soft);font-weight:600;letter-spacing:.02em}h1{margin:.15rem 0 .35rem;font-size:2rem;line-height:1.2}
.lead{margin:0;color:var(--soft)}section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1.25rem 1.4rem;margin-bottom:1rem}
.title{display:flex;align-items:center;justify-content:space-between;gap:1rem}h2{margin:0;font-size:1.15rem}
section p{margin:.4rem 0 .9rem;color:var(--soft);max-width:46rem}.badge{font-size:.85rem;font-weight:600;white-space:nowrap}
.holds{color:var(--good)}.broken{color:var(--bad)}.not-run{color:var(--idle)}
dl{display:flex;flex-wrap:wrap;gap:.6rem 2rem;margin:0 0 1rem}dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-size:1.2rem;font-weight:600;font-variant-numeric:tabular-nums}
table{width:100%;border-collapse:collapse;font-size:.92rem}th{text-align:left;color:var(--soft);font-weight:600}
th,td{padding:.4rem .6rem .4rem 0;border-top:1px solid var(--line);vertical-align:top}.number{text-align:right;font-variant-numeric:tabular-nums}
`;
