"""Finding a job among many: search, states, time, pages; and it stays live meanwhile."""

from playwright.sync_api import expect

from service.showcase.crowd import crowd, uid_of

COUNT = 10_000


def rows(page):
    return page.locator("#jobs tr")


def test_ten_thousand_jobs_are_paged_narrowed_and_searched(site, page, instances) -> None:
    crowd(site.database, COUNT)
    page.goto(site.url)
    expect(page.locator("#range")).to_have_text("1–50 of 10,000")
    expect(rows(page)).to_have_count(50)
    page.get_by_role("button", name="Older", exact=True).click()
    expect(page.locator("#range")).to_have_text("51–100 of 10,000")
    expect(rows(page)).to_have_count(50)
    expect(rows(page).first).to_contain_text(uid_of(50))
    page.get_by_role("button", name="Newer", exact=True).click()
    expect(rows(page).first).to_contain_text(uid_of(0))

    page.get_by_role("radio", name="Need a look 1,000").check()
    expect(page.locator("#range")).to_have_text("1–50 of 1,000")
    expect(rows(page).first).to_contain_text("No pelvis was found in the CT.")
    page.get_by_label("Search").fill(uid_of(9_977))
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Received").select_option("Last 7 days")
    expect(page.get_by_text("No job fits.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()

    site.submit(instances)
    expect(rows(page).first).to_contain_text("ZZPHIMARK, <script>alert(1)</script>")
    expect(rows(page)).to_have_count(50)
    expect(page.locator("#range")).to_have_text("1–50 of 10,001")


def test_a_search_by_patient_lasts_while_its_job_moves(site, page, instances) -> None:
    crowd(site.database, 3)
    job_id = site.submit(instances)
    page.goto(f"{site.url}/?q=script+zzphi")
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_label("Search")).to_have_value("script zzphi")
    expect(page).to_have_url(f"{site.url}/")  # a name stays in no history
    site.claim(job_id)
    expect(rows(page)).to_contain_text("Contouring")
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Search").fill("nobody")
    expect(page.get_by_text("No job fits.")).to_be_visible()
    page.reload()
    expect(page.get_by_text("No job fits.")).to_be_visible()
    expect(page.get_by_label("Search")).to_have_value("nobody")
    expect(page).to_have_url(f"{site.url}/")
    for public in (job_id, uid_of(1)):
        page.get_by_label("Search").fill(public)
        expect(page).to_have_url(f"{site.url}/?q={public}")


def test_who_signs_out_takes_the_words_of_the_search_along(locked_site, page) -> None:
    page.goto(locked_site.url)
    for words in ("zzphi", ""):
        page.get_by_label("API token").fill(locked_site.token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_label("Search")).to_have_value("")
        if words:
            page.get_by_label("Search").fill(words)
            expect(page.get_by_text("No job fits.")).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
