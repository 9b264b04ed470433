/* limits.active_series_max on the way of a write. The ingesters are played: they have what the log has. */
#include "distributor/write_rig.h"

static const mrd_time_ms NOW = 1800000000000;

#define T "X-Scope-OrgID: t\r\n"
#define U "X-Scope-OrgID: u\r\n"

/* ---- the ingesters, played ---- */

static struct played_ingesters {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t partitions; /* that somebody answers for, the first ones */
    size_t forgotten;  /* messages of the log whose series are not active any more */
    uint32_t distributors;
    bool held;    /* questions wait */
    size_t stale; /* questions that are answered by the first `visible` messages alone */
    size_t visible;
    size_t begun;
    size_t questions;
    size_t doubts_max; /* of one question */
} ingesters = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct seen {
    mrd_series_id *ids;
    size_t count;
    size_t capacity;
};

static int compare_ids(const void *a, const void *b)
{
    return mrd_id128_compare(*(const mrd_series_id *)a, *(const mrd_series_id *)b);
}

static void add_id(struct seen *seen, mrd_series_id id)
{
    if (seen->count == seen->capacity) {
        seen->capacity = MRD_MAX(seen->capacity * 2, (size_t)64);
        seen->ids = reallocarray(seen->ids, seen->capacity, sizeof(*seen->ids));
        assert_non_null(seen->ids);
    }
    seen->ids[seen->count++] = id;
}

/* The tenant's series of a partition, each once, sorted. */
static struct seen seen_of(struct mrd_batch_reader *reader, struct mrd_bytes tenant,
                           uint32_t partition)
{
    struct seen seen = {0};
    pthread_mutex_lock(&played.lock);
    const size_t end = ingesters.stale > 0 ? ingesters.visible : played.message_count;
    for (size_t i = ingesters.forgotten; i < end; i++) {
        struct mrd_batch batch;
        mrd_assert(mrd_batch_read(reader, mrd_buf_view(&played.messages[i]), &batch, NULL) ==
                   MRD_OK);
        for (size_t k = 0; k < batch.announcement_count && batch.header.partition == partition;
             k++) {
            const struct mrd_batch_announcement *announcement = &batch.announcements[k];
            if (mrd_bytes_equal(batch.tenants[announcement->tenant], tenant)) {
                add_id(&seen, announcement->id);
            }
        }
    }
    pthread_mutex_unlock(&played.lock);
    size_t count = 0;
    if (seen.count > 0) {
        qsort(seen.ids, seen.count, sizeof(*seen.ids), compare_ids);
    }
    for (size_t i = 0; i < seen.count; i++) {
        if (count == 0 || !mrd_id128_equal(seen.ids[i], seen.ids[count - 1])) {
            seen.ids[count++] = seen.ids[i];
        }
    }
    seen.count = count;
    return seen;
}

static void answer_question(struct mrd_batch_reader *reader, struct dst_question *question)
{
    question->distributors = ingesters.distributors;
    for (uint32_t p = 0; p < ingesters.partitions; p++) {
        const struct seen seen = seen_of(reader, question->tenant, p);
        question->answered[p] = true;
        question->series += seen.count;
        for (uint32_t at = question->starts[p]; at < question->starts[p + 1]; at++) {
            const struct dst_doubt *doubt = &question->doubts->items[question->order[at]];
            mrd_assert(doubt->partition == p && doubt->verdict == DST_DOUBT_OPEN);
            question->active[at] =
                seen.count > 0 &&
                bsearch(&doubt->id, seen.ids, seen.count, sizeof(*seen.ids), compare_ids) != NULL;
        }
        free(seen.ids);
    }
}

static void played_ask(void *context, struct dst_question *questions, size_t count)
{
    (void)context;
    struct mrd_batch_reader *reader = mrd_batch_reader_create();
    pthread_mutex_lock(&ingesters.lock);
    ingesters.begun++;
    pthread_cond_broadcast(&ingesters.changed);
    while (ingesters.held) {
        pthread_cond_wait(&ingesters.changed, &ingesters.lock);
    }
    for (size_t i = 0; i < count; i++) {
        ingesters.questions++;
        ingesters.doubts_max =
            MRD_MAX(ingesters.doubts_max, (size_t)questions[i].starts[PARTITIONS]);
        answer_question(reader, &questions[i]);
        ingesters.stale -= ingesters.stale > 0 ? 1 : 0;
    }
    pthread_cond_broadcast(&ingesters.changed);
    pthread_mutex_unlock(&ingesters.lock);
    mrd_batch_reader_destroy(&reader);
}

static void ingesters_set(size_t *field, size_t value)
{
    pthread_mutex_lock(&ingesters.lock);
    *field = value;
    pthread_mutex_unlock(&ingesters.lock);
}

static void hold(bool held)
{
    pthread_mutex_lock(&ingesters.lock);
    ingesters.held = held;
    pthread_cond_broadcast(&ingesters.changed);
    pthread_mutex_unlock(&ingesters.lock);
}

/* The next question is answered by what the log has now. */
static void stale_once(void)
{
    pthread_mutex_lock(&ingesters.lock);
    ingesters.stale = 1;
    ingesters.visible = message_count();
    pthread_mutex_unlock(&ingesters.lock);
}

static void wait_begun(size_t count)
{
    pthread_mutex_lock(&ingesters.lock);
    while (ingesters.begun < count) {
        pthread_cond_wait(&ingesters.changed, &ingesters.lock);
    }
    pthread_mutex_unlock(&ingesters.lock);
}

static size_t question_count(void)
{
    pthread_mutex_lock(&ingesters.lock);
    const size_t count = ingesters.questions;
    pthread_mutex_unlock(&ingesters.lock);
    return count;
}

/* ---- the rest of the world ---- */

static void limit_set(struct fixture *fixture, uint64_t limit)
{
    rig_limits.active_series_max = limit;
    mrd_tenancy_settings_set(fixture->push.limits, fixture->config);
}

static void begin_limited(struct fixture *fixture, uint64_t limit)
{
    ingesters.partitions = PARTITIONS;
    ingesters.forgotten = 0;
    ingesters.distributors = 1;
    ingesters.held = false;
    ingesters.stale = 0;
    ingesters.begun = 0;
    ingesters.questions = 0;
    ingesters.doubts_max = 0;
    fixture->ask = played_ask;
    fixture->waiting_bytes_max = 1 << 20;
    fixture->limits.active_series_max = limit;
    begin(fixture);
}

/* What was introduced counts as arrived at the ingesters, and leases are over. */
static void time_passes(void) { atomic_fetch_add(&played_ahead_ns, INT64_C(61000) * 1000000); }

static void put_many(struct mrd_buf *request, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "m%d", i);
        put_series(request, name, NOW, 1);
    }
}

static void expect_many(struct fixture *fixture, const char *headers, int first, int count,
                        unsigned status, const char *text)
{
    struct mrd_buf request = {0};
    put_many(&request, first, count);
    expect_post(fixture, &request, headers, status, text);
    mrd_buf_fini(&request);
}

static uint64_t checked(const struct fixture *fixture, enum dst_verdict verdict)
{
    return mrd_counter_value(fixture->asker_metrics.series[verdict]);
}

/* ---- tests ---- */

static void new_series_beyond_the_limit_are_refused_and_known_ones_go_on(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 10);
    expect_many(fixture, T, 0, 8, 204, "");
    time_passes();
    expect_many(fixture, T, 0, 13, 400,
                "3 of 13 samples were not written, the others were:\n"
                "3 series_limit: tenant \"t\" has ");
    time_passes();
    expect_many(fixture, T, 0, 13, 400,
                "tenant \"t\" has 10 active series, limits.active_series_max (10) allows no new "
                "ones: send fewer series");
    expect_many(fixture, T, 0, 10, 204, "");
    expect_many(fixture, U, 0, 10, 204, "");
    expect_many(fixture, U, 0, 11, 400, "1 of 11 samples");
    assert_int_equal(read_log().samples, 8 + 10 + 10 + 10 + 10 + 10);
    assert_int_equal(read_log().announcements, 20);
    assert_int_equal(
        mrd_counter_value(
            fixture->intake_metrics.rejected[DST_KIND_SAMPLES][DST_REASON_SERIES_LIMIT]),
        7);
    assert_int_equal(checked(fixture, DST_DOUBT_REFUSED), 7);
    assert_int_equal(checked(fixture, DST_DOUBT_UNANSWERED), 0);
}

static void who_has_no_limit_is_never_asked_about(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 0);
    expect_many(fixture, T, 0, 1000, 204, "");
    assert_int_equal(question_count(), 0);
}

/* One question for the first new series; further ones go without, as long as the limit is far. */
static void below_the_limit_a_lease_saves_the_questions(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 1000);
    for (int i = 0; i < 40; i++) {
        expect_many(fixture, T, 10 * i, 10, 204, "");
    }
    assert_int_equal(question_count(), 1);
    time_passes();
    expect_many(fixture, T, 0, 400, 204, ""); /* none is new */
    assert_int_equal(question_count(), 1);
    expect_many(fixture, T, 400, 1, 204, "");
    assert_int_equal(question_count(), 2);
}

/* Its cache is gone, and with it what it knew of the tenant. */
static void after_a_restart_active_series_go_on_and_new_ones_do_not(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 20);
    expect_many(fixture, T, 0, 20, 204, "");
    expect_many(fixture, U, 0, 15, 204, "");
    intake_stop(fixture);
    intake_start(fixture, "i2");
    expect_many(fixture, T, 0, 25, 400, "5 of 25 samples");
    expect_many(fixture, U, 0, 15, 204, "");
    assert_int_equal(checked(fixture, DST_DOUBT_ACTIVE), 35);
    assert_int_equal(checked(fixture, DST_DOUBT_REFUSED), 5);
    expect_many(fixture, T, 0, 20, 204, ""); /* known now */
    assert_int_equal(checked(fixture, DST_DOUBT_ACTIVE), 35);
}

static void series_that_are_not_active_any_more_leave_their_place(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 10);
    expect_many(fixture, T, 0, 10, 204, "");
    time_passes();
    expect_many(fixture, T, 100, 10, 400, "10 of 10 samples");
    ingesters_set(&ingesters.forgotten, message_count());
    expect_many(fixture, T, 100, 10, 204, "");
    /* And those that are back after a long while are new ones. */
    atomic_fetch_add(&played_now_ms, 3 * MRD_BATCH_EPOCH_MS);
    time_passes();
    expect_many(fixture, T, 0, 10, 400, "10 of 10 samples");
}

static void a_limit_that_is_changed_counts_at_once(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 10);
    expect_many(fixture, T, 0, 10, 204, "");
    time_passes();
    expect_many(fixture, T, 10, 10, 400, "10 of 10 samples");
    limit_set(fixture, 15);
    expect_many(fixture, T, 10, 10, 400, "5 of 10 samples");
    limit_set(fixture, 0);
    expect_many(fixture, T, 10, 10, 204, "");
    limit_set(fixture, 5);
    expect_many(fixture, T, 0, 20, 204, "");
    expect_many(fixture, T, 20, 1, 400, "1 of 1 samples");
}

static void where_nobody_answers_series_are_let_through_and_counted(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 10);
    ingesters_set(&ingesters.partitions, 1);
    expect_many(fixture, T, 0, 30, 204, "");
    assert_int_equal(checked(fixture, DST_DOUBT_UNANSWERED), 30);
    assert_int_equal(question_count(), 1);
    expect_many(fixture, T, 30, 10, 204, ""); /* for some seconds nobody is asked again */
    assert_int_equal(checked(fixture, DST_DOUBT_UNANSWERED), 40);
    assert_int_equal(question_count(), 1);
    ingesters_set(&ingesters.partitions, PARTITIONS);
    time_passes();
    expect_many(fixture, T, 0, 50, 400, "10 of 50 samples");
    assert_int_equal(checked(fixture, DST_DOUBT_REFUSED), 10);
}

/* Three of four answer: what they have is taken for three quarters, and series of the fourth are let through. */
static void partitions_without_an_answer_are_estimated(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 300);
    expect_many(fixture, T, 0, 400, 400, "100 of 400 samples");
    ingesters_set(&ingesters.partitions, PARTITIONS - 1);
    intake_stop(fixture);
    intake_start(fixture, "i2");
    struct mrd_buf request = {0};
    put_many(&request, 0, 400);
    mrd_auto(raw_answer_fini)
    struct raw_answer got = post(fixture, &request, T);
    assert_int_equal(got.status, 400);
    const uint64_t unchecked = checked(fixture, DST_DOUBT_UNANSWERED);
    assert_true(unchecked > 50 && unchecked < 150); /* a quarter of 400 */
    mrd_buf_fini(&request);
}

/* What was introduced a moment ago may not have been counted yet: who asks then hears no before its time. */
static void a_write_waits_where_the_moment_before_decides(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 100);
    expect_many(fixture, T, 0, 60, 204, "");
    stale_once();
    expect_many(fixture, T, 60, 60, 400, "20 of 60 samples");
    assert_true(question_count() >= 3);
    assert_int_equal(read_log().samples, 100);
}

static void distributors_share_what_is_left(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 100);
    ingesters.distributors = 5;
    expect_many(fixture, T, 0, 10, 204, "");
    assert_int_equal(question_count(), 1);
    expect_many(fixture, T, 10, 10, 204, "");
    assert_int_equal(question_count(), 1); /* a fifth of 100 */
    expect_many(fixture, T, 20, 1, 204, "");
    assert_int_equal(question_count(), 2);
}

/* Bad items of series in doubt are told once, and of what is refused nothing is told twice. */
static void what_is_wrong_besides_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 1);
    expect_many(fixture, T, 0, 1, 204, "");
    time_passes();
    struct mrd_buf request = {0};
    struct mrd_buf entry = {0};
    put_label(&entry, "__name__", "new");
    put_sample(&entry, NOW + 3600000, 1);
    put_sample(&entry, NOW, 2);
    put_sample(&entry, NOW + 1, 3);
    put_field(&request, 0x0a, mrd_buf_view(&entry));
    put_field(&request, 0x0a, mrd_buf_view(&entry)); /* and once more */
    put_series(&request, "m0", NOW, 5);
    expect_post(fixture, &request, T, 400, "6 of 7 samples were not written");
    expect_post(fixture, &request, T, 400, "4 series_limit: ");
    expect_post(fixture, &request, T, 400, "2 future: ");
    time_passes();
    limit_set(fixture, 2);
    expect_post(fixture, &request, T, 400, "2 of 7 samples were not written");
    assert_int_equal(read_log().samples, 1 + 3 + 5);
    mrd_buf_fini(&entry);
    mrd_buf_fini(&request);
}

/* More than one question may name. */
static void a_write_of_very_many_series_is_asked_about_in_pieces(void **state)
{
    struct fixture *fixture = *state;
    enum { SERIES = DST_DOUBTS_MAX + 3000, LIMIT = DST_DOUBTS_MAX + 1000 };
    begin_limited(fixture, LIMIT);
    ingesters.distributors = 1000; /* so that the first question's lease is small */
    char text[64];
    (void)snprintf(text, sizeof(text), "2000 of %d samples", SERIES);
    expect_many(fixture, T, 0, SERIES, 400, text);
    assert_int_equal(read_log().samples, LIMIT);
    assert_true(question_count() >= 2);
    assert_true(ingesters.doubts_max <= DST_DOUBTS_MAX);
    assert_true(ingesters.doubts_max > DST_DOUBTS_MAX - 100);
}

/* While one write waits, known series go on, other tenants' too; and no more of the tenant waits than its share. */
static void nobody_else_waits_for_an_answer(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 10);
    fixture->waiting_bytes_max = 1;
    intake_stop(fixture);
    intake_start(fixture, "i");
    expect_many(fixture, T, 0, 5, 204, "");
    limit_set(fixture, 0);
    expect_many(fixture, U, 0, 5, 204, "");
    limit_set(fixture, 10);
    time_passes();
    hold(true);
    struct mrd_buf request = {0};
    put_many(&request, 5, 2);
    struct raw_client waiting = raw_connect(mrd_http_server_port(fixture->server));
    send_post(&waiting, &request, T);
    wait_begun(2);
    expect_many(fixture, T, 0, 5, 204, "");
    expect_many(fixture, U, 0, 5, 204, "");
    expect_many(fixture, T, 100, 1, 503, "wait to hear whether their series are new");
    hold(false);
    struct raw_answer got = raw_answer(&waiting, true);
    assert_int_equal(got.status, 204);
    raw_answer_fini(&got);
    raw_close(&waiting);
    mrd_buf_fini(&request);
}

/* Stopping does not wait for ingesters, and no write is left without an answer. */
static void a_stop_lets_through_what_waits(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 100);
    expect_many(fixture, T, 0, 60, 204, "");
    struct mrd_buf request = {0};
    put_many(&request, 60, 60); /* waits for the moment before */
    stale_once();
    ingesters_set(&ingesters.stale, SIZE_MAX); /* nor do later answers have it */
    struct raw_client waiting = raw_connect(mrd_http_server_port(fixture->server));
    send_post(&waiting, &request, T);
    const size_t before = question_count();
    while (question_count() == before) {
        usleep(1000);
    }
    dst_asker_stop(fixture->asker);
    struct raw_answer got = raw_answer(&waiting, true);
    assert_int_equal(got.status, 204);
    raw_answer_fini(&got);
    raw_close(&waiting);
    expect_many(fixture, T, 500, 60, 204, "");
    mrd_buf_fini(&request);
}

/* The log fails while a write waits: it is 503, whatever the answer. */
static void a_write_whose_known_series_fail_is_503(void **state)
{
    struct fixture *fixture = *state;
    begin_limited(fixture, 10);
    expect_many(fixture, T, 0, 10, 204, "");
    time_passes();
    set_mode(LOG_REFUSES);
    expect_many(fixture, T, 0, 12, 503, "the log is away");
    set_mode(LOG_ACKS);
    expect_many(fixture, T, 0, 12, 400, "2 of 12 samples");
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        RIG_TEST(new_series_beyond_the_limit_are_refused_and_known_ones_go_on),
        RIG_TEST(who_has_no_limit_is_never_asked_about),
        RIG_TEST(below_the_limit_a_lease_saves_the_questions),
        RIG_TEST(after_a_restart_active_series_go_on_and_new_ones_do_not),
        RIG_TEST(series_that_are_not_active_any_more_leave_their_place),
        RIG_TEST(a_limit_that_is_changed_counts_at_once),
        RIG_TEST(where_nobody_answers_series_are_let_through_and_counted),
        RIG_TEST(partitions_without_an_answer_are_estimated),
        RIG_TEST(a_write_waits_where_the_moment_before_decides),
        RIG_TEST(distributors_share_what_is_left),
        RIG_TEST(what_is_wrong_besides_is_told_once),
        RIG_TEST(a_write_of_very_many_series_is_asked_about_in_pieces),
        RIG_TEST(nobody_else_waits_for_an_answer),
        RIG_TEST(a_stop_lets_through_what_waits),
        RIG_TEST(a_write_whose_known_series_fail_is_503),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
