"""The page in a real browser: it shows what happened, by itself, to everybody, and talks to nobody else."""

from datetime import UTC, datetime, timedelta

import pytest
from support import ops_sample as sample
from support.chromium import Tab
from support.verdicts import verdict

from schemas import topics
from streams.ops.feed import Behind

from .conftest import Site

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LIVE = "document.getElementById('status')?.textContent === 'Live.'"
FIGURES = "document.getElementById('figures')?.innerText || ''"
EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


def fill(site: Site, hours: int = 24) -> None:
    """Give the page a simulated day with a planted drift, an unknown generator and dead letters."""
    for record in sample.a_day(datetime.now(UTC), hours=hours, verdicts_a_minute=1):
        site.feed.take(record)
    site.feed.lags((Behind("deeptrace-scoring", 17, 2.0), Behind("deeptrace-drift", 0, 0.0)))


def chosen(select: str, value: str) -> str:
    """Return the script that chooses a value of a list, as a person does."""
    one = f"document.getElementById('{select}')"
    return f"{one}.value = '{value}'; {one}.dispatchEvent(new Event('change'))"


def clean(browser: Tab, site: Site) -> None:
    """Hold against the page that it logged an error, or asked any other origin for anything."""
    assert browser.console == []
    assert all(url.startswith((f"{site.url}/", "data:")) for url in browser.requests), browser.requests


async def test_it_shows_a_planted_drift(site: Site, browser: Tab) -> None:
    """The state, the episode in the chart, the alert with its figures, the void correction and the candidate are to be seen."""
    fill(site)
    await browser.open(site.url)
    await browser.until(LIVE)
    figures = await browser.until(f"{FIGURES}.includes('drifting') && ({FIGURES})")
    assert "the correction is void" in figures
    assert "17" in figures.split("Scoring lag")[1]
    assert await browser.run("document.querySelectorAll('#distance svg rect.alarm').length") >= 2
    assert await browser.run("document.querySelectorAll('#distance svg .mark.raised').length") >= 1
    assert await browser.run("document.querySelectorAll('#share svg rect[fill^=\"url(\"]').length") >= 1
    news = await browser.run("document.getElementById('news').innerText")
    assert "threshold 0.25" in news
    assert "61 of 88 rejected images are like one another" in news
    assert "image_truncated" in await browser.run("document.getElementById('letters').innerText")
    assert "detector-1.4.0" in await browser.run("document.getElementById('models').innerText")
    clean(browser, site)


async def test_it_updates_without_a_reload(site: Site, browser: Tab) -> None:
    """A window that closes while somebody looks appears; an alert, a verdict and a broken broker too, on the page that was loaded once."""
    await browser.open(site.url)
    await browser.until(LIVE)
    await browser.run("window.loadedOnce = true")
    assert "no window yet" in await browser.run(FIGURES)
    now = datetime.now(UTC)
    one = sample.window(now - timedelta(minutes=10), ai=0.3, drifting=True)
    site.feed.take(sample.record(topics.WINDOWS, one.to_bytes(), now))
    await browser.until(f"{FIGURES}.includes('drifting')")
    site.feed.take(sample.record(topics.DRIFT_ALERTS, sample.alert(one).to_bytes(), now))
    await browser.until("document.getElementById('news').innerText.includes('more stable diffusion')")
    site.feed.take(sample.record(topics.VERDICTS, verdict(1, image_id="upload-77").to_bytes(), now))
    await browser.until("document.getElementById('verdicts').innerText.includes('upload-77')")
    site.feed.heard(fault="no Kafka broker at 127.0.0.1:9092: Connection refused")
    await browser.until("document.getElementById('status').textContent === 'The broker does not answer.'")
    assert "No news from the broker since" in await browser.run("document.getElementById('notices').innerText")
    assert "drifting" in await browser.run(FIGURES)
    site.feed.heard()
    await browser.until(LIVE)
    assert await browser.run("window.loadedOnce")
    clean(browser, site)


async def test_it_finds_a_worker_that_was_restarted(site: Site, browser: Tab) -> None:
    """While the worker is away the page says so and keeps what it shows; from the next one, which counts anew, it takes everything."""
    fill(site, hours=1)
    await browser.open(site.url)
    await browser.until(f"{FIGURES}.includes('drifting')")
    await site.stop()
    await browser.until("document.getElementById('status').textContent.startsWith('The worker is not reached since')")
    assert "drifting" in await browser.run(FIGURES)
    await site.start()
    now = datetime.now(UTC)
    site.feed.take(sample.record(topics.WINDOWS, sample.window(now - timedelta(minutes=10)).to_bytes(), now))
    await browser.until(f"{LIVE} && {FIGURES}.includes('steady')")


async def test_a_chart_is_read_under_the_pointer(site: Site, browser: Tab) -> None:
    """The window that is nearest to the pointer is said in words below the chart, and no longer once the pointer has left."""
    fill(site)
    await browser.open(site.url)
    await browser.until("Boolean(document.querySelector('#share .chart svg'))")
    await browser.point("#share .chart")
    said = await browser.until("document.querySelector('#share .readout').textContent")
    assert "images" in said
    assert "corrected" in said
    await browser.point("h1")
    await browser.until("document.querySelector('#share .readout').textContent === ''")
    clean(browser, site)


async def test_behind_every_chart_is_its_table(site: Site, browser: Tab) -> None:
    """Each opens to rows with the chart's figures, under headings."""
    fill(site, hours=6)
    await browser.open(site.url)
    await browser.until("document.querySelectorAll('.chart svg').length === 5")
    await browser.run("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
    await browser.until("document.querySelectorAll('main details table').length === 6")
    for chart, heading in (
        ("share", "corrected"),
        ("distance", "KL (nats)"),
        ("throughput", "a minute"),
        ("latency", "p95"),
        ("lag", "scoring"),
    ):
        table = f"document.querySelector('#{chart} details table')"
        assert heading in await browser.run(f"{table}.tHead.innerText")
        assert await browser.run(f"{table}.tBodies[0].rows.length") >= 1
    rows = await browser.run("document.querySelector('#share details table').tBodies[0].innerText")
    assert "void: answers no mix explains" in rows
    assert await browser.run("document.querySelectorAll('.chart svg:not([role=img][aria-label])').length") == 0
    clean(browser, site)


async def test_tenant_kind_and_range_are_chosen(site: Site, browser: Tab) -> None:
    """Another tenant, hours instead of minutes, a day instead of six hours: the page follows, and its address says what is shown."""
    fill(site)
    await browser.open(site.url)
    await browser.until(f"{LIVE} && document.getElementById('tenant').options.length === 3")
    await browser.run(chosen("tenant", "globex"))
    await browser.until(f"{FIGURES}.includes('steady')")
    await browser.run(chosen("window", "1h"))
    await browser.until("document.getElementById('classes').innerText.includes('images')")
    await browser.run("document.querySelector('input[name=range][value=\"24h\"]').click()")
    await browser.until("location.hash.includes('range=24h')")
    await browser.run("document.querySelector('#share details').open = true")
    await browser.until("document.querySelector('#share details table')?.tBodies[0].rows.length >= 23")
    assert await browser.run("location.hash") == "#tenant=globex&range=24h&window=1h"
    clean(browser, site)


async def test_a_range_of_ones_own(site: Site, browser: Tab) -> None:
    """From and to in UTC: only windows between them are shown."""
    fill(site)
    from_, to = (datetime.now(UTC) - timedelta(hours=hours) for hours in (20, 18))
    address = f"#range=custom&window=10m&from={round(from_.timestamp() * 1000)}&to={round(to.timestamp() * 1000)}"
    await browser.open(f"{site.url}/{address}")
    await browser.until(LIVE)
    await browser.run("document.querySelector('#share details').open = true")
    rows = await browser.until("document.querySelector('#share details table')?.tBodies[0].rows.length")
    assert 11 <= rows <= 13
    assert await browser.run("document.getElementById('from').value") == from_.strftime("%Y-%m-%dT%H:%M")
    clean(browser, site)


async def test_pictures_and_details_of_a_verdict(site: Site, browser: Tab) -> None:
    """Thumbnails load; a press on one opens the details, and Escape closes them and gives the focus back."""
    fill(site, hours=1)
    await browser.open(site.url)
    await browser.until("document.querySelectorAll('#verdicts .look').length > 0")
    await browser.run("document.querySelectorAll('#verdicts img').forEach((one) => { one.loading = 'eager'; })")
    await browser.until(
        "[...document.querySelectorAll('#verdicts tr:not([hidden]) img')].every((one) => one.complete && one.naturalWidth === 192)"
    )
    await browser.run("document.querySelector('#verdicts .look').focus()")
    await browser.press("Enter")
    await browser.until("document.getElementById('closer').open")
    assert "Probabilities" in await browser.run("document.getElementById('closer').innerText")
    await browser.press("Escape")
    await browser.until("!document.getElementById('closer').open")
    assert await browser.run("document.activeElement === document.querySelector('#verdicts .look')")
    clean(browser, site)


async def test_texts_of_strangers_stay_texts(site: Site, browser: Tab) -> None:
    """Markup in a tenant, a class, an image id, a model and a reason is shown as it is and makes no element."""
    now = datetime.now(UTC)
    one = sample.window(
        now - timedelta(minutes=10), tenant=EVIL[:60], raw_shares={"real": 0.5, EVIL: 0.5}, correction=None
    )
    site.feed.take(sample.record(topics.WINDOWS, one.to_bytes(), now))
    site.feed.take(
        sample.record(topics.DRIFT_ALERTS, sample.alert(one).model_copy(update={"most_grown": EVIL}).to_bytes(), now)
    )
    stamp = verdict(1).model.model_copy(update={"version": EVIL})
    site.feed.take(
        sample.record(topics.VERDICTS, verdict(1, image_id=EVIL, model=stamp, reasons=(EVIL,)).to_bytes(), now)
    )
    site.feed.waiting(EVIL, EVIL)
    await browser.open(f"{site.url}/#tenant={EVIL[:60].replace('#', '')}")
    await browser.until(
        "document.getElementById('verdicts')?.innerText.includes('onerror') || document.getElementById('notices')?.innerText.includes('onerror')"
    )
    await browser.until("document.getElementById('classes').innerText.includes('onerror')")
    assert await browser.run("window.hacked") is None
    assert await browser.run("document.querySelectorAll('img[src=x], main script').length") == 0
    clean(browser, site)


async def test_the_keyboard_goes_through_in_order(site: Site, browser: Tab) -> None:
    """Tab leads from the skip link over the controls to the charts' tables and the verdicts, and each stop can be seen."""
    fill(site, hours=1)
    await browser.open(site.url)
    await browser.until("document.querySelectorAll('#verdicts .look').length > 0")
    stops = []
    for _ in range(14):
        await browser.press("Tab")
        stop = "(() => { const a = document.activeElement; return a.id || a.value || a.closest('section')?.id + ':' + a.tagName; })()"
        stops.append(await browser.run(stop))
        seen = "(() => { const a = document.activeElement; const s = getComputedStyle(a.matches('.choices input') ? a.nextElementSibling : a); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; })()"
        assert await browser.run(seen), stops
    assert stops[:4] == [stops[0], "tenant", "window", "6h"]
    sections = [stop.split(":")[0] for stop in stops[4:] if isinstance(stop, str) and ":" in stop]
    order = ["share", "distance", "classes", "news", "throughput", "latency", "lag", "letters", "models", "verdicts"]
    assert [order.index(name) for name in sections] == sorted(order.index(name) for name in sections)
    clean(browser, site)


async def test_a_screen_reader_has_a_name_for_everything(site: Site, browser: Tab) -> None:
    """Controls, charts, tables and regions have names, and the page its landmarks, as the browser tells assistive technology."""
    fill(site, hours=6)
    await browser.open(site.url)
    await browser.until("document.querySelectorAll('#verdicts .look').length > 0")
    await browser.run("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
    await browser.until("document.querySelectorAll('main details table').length === 6")
    nodes = [one for one in (await browser.send("Accessibility.getFullAXTree"))["nodes"] if not one.get("ignored")]
    named = {"button", "combobox", "radio", "region", "dialog", "form", "textbox", "link"}
    nameless = [
        one["role"]["value"] for one in nodes if one["role"]["value"] in named and not one["name"]["value"].strip()
    ]
    assert nameless == []
    roles = [one["role"]["value"] for one in nodes]
    for role, least in (
        ("main", 1),
        ("banner", 1),
        ("contentinfo", 1),
        ("status", 1),
        ("form", 1),
        ("table", 8),
        ("heading", 11),
    ):
        assert roles.count(role) >= least, role
    charts = [
        one["name"]["value"]
        for one in nodes
        if one["role"]["value"] in {"image", "img"} and "The table below" in one["name"]["value"]
    ]
    assert len(charts) == 2
    assert "corrected" in charts[0] or "raw" in charts[0]


@pytest.mark.parametrize("width", [360, 768, 1600])
async def test_it_fits_the_window(site: Site, browser: Tab, width: int) -> None:
    """From a telephone to a wall nothing sticks out to the side."""
    fill(site)
    await browser.open(site.url, width=width)
    await browser.until(
        "document.querySelectorAll('.chart svg').length === 5 && document.querySelectorAll('#verdicts .look').length > 0"
    )
    assert await browser.run("document.documentElement.scrollWidth") <= width
    outside = "[...document.querySelectorAll('main > *, .panel, .chart svg')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1).length"
    assert await browser.run(outside) == 0
    clean(browser, site)


@pytest.mark.parametrize("dark", [False, True])
async def test_texts_can_be_read(site: Site, browser: Tab, dark: bool) -> None:
    """Every text has at least the contrast 4.5 to 1 against what is behind it, light and dark (WCAG 2.2, 1.4.3)."""
    fill(site)
    site.feed.heard(fault="no Kafka broker")
    await browser.open(site.url, dark=dark)
    await browser.until("document.querySelectorAll('#verdicts .look').length > 0")
    pale = await browser.run(CONTRAST)
    assert pale == []


CONTRAST = """(() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => { const f = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const ground = (one) => { for (let at = one; at; at = at.parentElement) { const c = parts(getComputedStyle(at).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !one.getClientRects().length || one.closest('script, style, noscript')) continue;
    const style = getComputedStyle(one);
    const ink = parts(one.namespaceURI.endsWith('svg') ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(one))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.add(`${one.tagName}.${one.className.baseVal ?? one.className} ${style.color}`);
  }
  return [...found];
})()"""
