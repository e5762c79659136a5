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


def test_pages_are_turned_one_at_a_time_and_a_refusal_leaves_the_page(site, page) -> None:
    crowd(site.database, 170)
    page.goto(site.url)
    older = page.get_by_role("button", name="Older", exact=True)
    expect(page.locator("#range")).to_have_text("1–50 of 170")
    older.dblclick()
    expect(page.locator("#range")).to_have_text("51–100 of 170")
    expect(rows(page).first).to_contain_text(uid_of(50))

    refusal = {"detail": "Too many requests.", "remedy": "Wait a little.", "code": "too-many-requests"}
    page.route("**/api/v1/jobs?*", lambda route: route.fulfill(status=429, json=refusal))
    older.click()
    expect(page.locator("#trouble")).to_contain_text("Too many requests.")
    expect(page.locator("#range")).to_have_text("51–100 of 170")
    page.unroute("**/api/v1/jobs?*")
    older.click()
    expect(page.locator("#range")).to_have_text("101–150 of 170")
    expect(rows(page).first).to_contain_text(uid_of(100))
    expect(page.locator("#trouble")).to_have_text("")


def test_a_page_that_has_emptied_gives_way_to_the_first(site, page) -> None:
    crowd(site.database, 120)

    def without_jobs(route) -> None:
        route.fulfill(json=route.fetch().json() | {"jobs": [], "next_cursor": None})

    page.goto(site.url)
    expect(page.locator("#range")).to_have_text("1–50 of 120")
    page.route("**/api/v1/jobs?*cursor=*", without_jobs)
    with page.expect_response("**/api/v1/jobs?*cursor=*"):
        page.get_by_role("button", name="Older", exact=True).click()
    expect(page.locator("#range")).to_have_text("1–50 of 120")
    expect(rows(page)).to_have_count(50)


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
