"""What all pages share: navigation, signing in, colours, updates that arrive whole."""

from playwright.sync_api import expect

PAGES = {"Worklist": "/", "Bundles": "/bundles", "System": "/system"}


def sign_in(page, token: str) -> None:
    page.get_by_label("API token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_a_locked_page_asks_for_the_token_once(locked_site, page) -> None:
    page.goto(locked_site.url)
    sign_in(page, "wrong")
    expect(page.get_by_text("refused this token")).to_be_visible()
    expect(page.locator("#page")).to_be_hidden()
    sign_in(page, locked_site.token)
    expect(page.locator("#connection")).to_have_text("live")
    for name, path in PAGES.items():
        page.get_by_role("link", name=name, exact=True).click()
        expect(page).to_have_url(locked_site.url + path)
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute("aria-current", "page")
        expect(page.locator("#page")).to_be_visible()
        expect(page.get_by_label("API token")).to_be_hidden()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API token")).to_be_visible()


def test_colours_are_dark_until_switched_and_stay_switched(site, page) -> None:
    def ground() -> str:
        return page.evaluate("getComputedStyle(document.documentElement).backgroundColor")

    page.goto(site.url)
    dark = ground()
    page.get_by_role("button", name="Light colours").click()
    light = ground()
    assert [sum(map(int, each[4:-1].split(","))) > 380 for each in (dark, light)] == [False, True]
    page.goto(f"{site.url}/bundles")
    assert ground() == light
    page.get_by_role("button", name="Dark colours").click()
    assert ground() == dark


def test_every_page_says_that_the_bundle_is_not_for_clinical_use(site, page) -> None:
    for path in PAGES.values():
        page.goto(site.url + path)
        expect(page.get_by_role("note")).to_have_text("NOT FOR CLINICAL USE · phantom-trained bundle")


def test_events_are_whole_however_the_network_cuts_them(site, page) -> None:
    page.goto(f"{site.url}/bundles")
    expect(page.get_by_text("phantom-small 0.1")).to_be_visible()
    names = page.evaluate("""
    (async () => {
      const api = await import("/static/api.js");
      const parts = ["event: a\\nda", "ta: 1\\n", "\\n: ping\\n\\neve", "nt: b\\ndata: \u00e9\\n\\n"];
      window.fetch = async () => new Response(new ReadableStream({
        start(controller) {
          for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
          controller.close();
        },
      }));
      const seen = [];
      for await (const event of api.events("/x")) seen.push(event.name + event.data);
      return seen.join();
    })()
    """)
    assert names == "a1,b\u00e9"
