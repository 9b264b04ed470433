#include "base/shard.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- a shard without a thread and a clock that the test moves ---- */

struct stepped {
    struct mrd_shard *shard;
    struct mrd_clock clock;
    int64_t now_ns;
    char log[256]; /* what ran, a letter each */
    size_t log_size;
};

static int64_t stepped_monotonic_ns(void *context) { return ((struct stepped *)context)->now_ns; }
static mrd_time_ms stepped_now_ms(void *context)
{
    return ((struct stepped *)context)->now_ns / 1000000;
}

static void note(struct mrd_shard *shard, char letter)
{
    struct stepped *stepped = mrd_shard_context(shard);
    mrd_assert(stepped->log_size + 1 < sizeof(stepped->log));
    stepped->log[stepped->log_size++] = letter;
    stepped->log[stepped->log_size] = 0;
}

static void on_start(struct mrd_shard *shard) { note(shard, '<'); }
static void on_batch(struct mrd_shard *shard) { note(shard, ';'); }
static void on_stop(struct mrd_shard *shard) { note(shard, '>'); }

static void stepped_create(struct stepped *stepped, size_t queue_max)
{
    *stepped = (struct stepped){0};
    stepped->clock = (struct mrd_clock){stepped_now_ms, stepped_monotonic_ns, stepped};
    const struct mrd_shard_config config = {
        .name = "stepped",
        .queue_max = queue_max,
        .clock = &stepped->clock,
        .context = stepped,
        .on_start = on_start,
        .on_batch = on_batch,
        .on_stop = on_stop,
    };
    assert_int_equal(mrd_shard_create_stepped(&config, &stepped->shard, NULL), MRD_OK);
}

struct letter {
    struct mrd_shard_message message;
    struct mrd_shard_timer timer;
    char letter;
    struct letter *posts; /* another one, from within the shard */
    struct letter *urges; /* likewise, as urgent; then those that are urgent are let in */
    int64_t again_ns;     /* the timer starts itself anew */
    bool reads;           /* tries to look at the shard's state, which it may or not */
    bool may_be_read;
};

static void nothing_read(void *context) { (void)context; }

static void letter_run(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    struct letter *letter = MRD_CONTAINER_OF(message, struct letter, message);
    mrd_shard_assert_on(shard);
    note(shard, letter->letter);
    if (letter->reads) {
        assert_int_equal(mrd_shard_try_read(shard, nothing_read, NULL), letter->may_be_read);
    }
    if (letter->posts != NULL) {
        assert_true(mrd_shard_post(shard, &letter->posts->message));
    }
    if (letter->urges != NULL) {
        assert_true(mrd_shard_post_urgent(shard, &letter->urges->message));
        mrd_shard_let_urgent(shard);
        note(shard, '.');
    }
}

static void letter_fire(struct mrd_shard *shard, struct mrd_shard_timer *timer)
{
    struct letter *letter = MRD_CONTAINER_OF(timer, struct letter, timer);
    mrd_shard_assert_on(shard);
    note(shard, letter->letter);
    if (letter->again_ns >= 0) {
        mrd_shard_timer_start(shard, timer, mrd_shard_now_ns(shard) + letter->again_ns);
    }
}

static struct letter letter_of(char c)
{
    return (struct letter){
        .message.run = letter_run, .timer.fire = letter_fire, .letter = c, .again_ns = -1};
}

static void messages_run_in_order_and_batches_end_with_a_flush(void **state)
{
    (void)state;
    struct stepped stepped;
    stepped_create(&stepped, 0);
    struct letter a = letter_of('a');
    struct letter b = letter_of('b');
    struct letter c = letter_of('c');
    a.posts = &c; /* comes after b, in a batch of its own */
    assert_true(mrd_shard_post(stepped.shard, &a.message));
    assert_true(mrd_shard_post(stepped.shard, &b.message));
    assert_int_equal(mrd_shard_queue_size(stepped.shard), 2);
    assert_int_equal(mrd_shard_step(stepped.shard), 2);
    assert_int_equal(mrd_shard_step(stepped.shard), 1);
    assert_int_equal(mrd_shard_step(stepped.shard), 0);
    assert_string_equal(stepped.log, "<ab;c;");
    mrd_shard_destroy(&stepped.shard);
    assert_string_equal(stepped.log, "<ab;c;>");
}

static void an_idle_shard_lends_its_place_and_nobody_is_overtaken(void **state)
{
    (void)state;
    struct stepped stepped;
    stepped_create(&stepped, 0);
    struct letter a = letter_of('a');
    struct letter b = letter_of('b');
    assert_false(mrd_shard_try_run(stepped.shard, &a.message)); /* it has not started */
    assert_int_equal(mrd_shard_step(stepped.shard), 0);
    assert_true(mrd_shard_try_run(stepped.shard, &a.message));
    assert_string_equal(stepped.log, "<a;");
    assert_true(mrd_shard_post(stepped.shard, &b.message));
    assert_false(mrd_shard_try_run(stepped.shard, &a.message));
    assert_int_equal(mrd_shard_step(stepped.shard), 1);
    assert_true(mrd_shard_try_run(stepped.shard, &a.message));
    mrd_shard_stop(stepped.shard);
    assert_false(mrd_shard_try_run(stepped.shard, &a.message));
    assert_string_equal(stepped.log, "<a;b;a;>");
    mrd_shard_destroy(&stepped.shard);
}

static void a_full_queue_refuses_and_the_poster_keeps_the_message(void **state)
{
    (void)state;
    struct stepped stepped;
    stepped_create(&stepped, 2);
    struct letter letters[] = {letter_of('a'), letter_of('b'), letter_of('c')};
    assert_true(mrd_shard_post(stepped.shard, &letters[0].message));
    assert_true(mrd_shard_post(stepped.shard, &letters[1].message));
    assert_false(mrd_shard_post(stepped.shard, &letters[2].message));
    assert_int_equal(mrd_shard_step(stepped.shard), 2);
    assert_true(mrd_shard_post(stepped.shard, &letters[2].message));
    mrd_shard_stop(stepped.shard);
    assert_string_equal(stepped.log, "<ab;c;>");
    assert_false(mrd_shard_post(stepped.shard, &letters[0].message));
    mrd_shard_destroy(&stepped.shard);
}

static void what_is_urgent_goes_first_and_into_the_middle_of_what_lets_it_in(void **state)
{
    (void)state;
    struct stepped stepped;
    stepped_create(&stepped, 0);
    struct letter a = letter_of('a');
    struct letter b = letter_of('b');
    struct letter u = letter_of('u');
    struct letter v = letter_of('v');
    struct letter w = letter_of('w');
    a.urges = &w;
    assert_true(mrd_shard_post(stepped.shard, &a.message));
    assert_true(mrd_shard_post(stepped.shard, &b.message));
    assert_true(mrd_shard_post_urgent(stepped.shard, &u.message));
    assert_true(mrd_shard_post_urgent(stepped.shard, &v.message));
    assert_false(mrd_shard_try_run(stepped.shard, &w.message));
    assert_int_equal(mrd_shard_queue_size(stepped.shard), 4);
    assert_int_equal(mrd_shard_step(stepped.shard), 4);
    assert_string_equal(stepped.log, "<uvaw.b;");
    assert_true(mrd_shard_post_urgent(stepped.shard, &b.message));
    mrd_shard_stop(stepped.shard);
    assert_string_equal(stepped.log, "<uvaw.b;b;>");
    assert_false(mrd_shard_post_urgent(stepped.shard, &u.message));
    mrd_shard_destroy(&stepped.shard);
}

static void what_is_patient_goes_last_and_one_at_a_time(void **state)
{
    (void)state;
    struct stepped stepped;
    stepped_create(&stepped, 4);
    struct letter a = letter_of('a');
    struct letter b = letter_of('b');
    struct letter c = letter_of('c');
    struct letter p = letter_of('p');
    struct letter q = letter_of('q');
    struct letter u = letter_of('u');
    p.posts = &b; /* goes before q, which was posted first */
    p.urges = &u;
    assert_true(mrd_shard_post_patient(stepped.shard, &p.message));
    assert_true(mrd_shard_post_patient(stepped.shard, &q.message));
    assert_true(mrd_shard_post(stepped.shard, &a.message));
    assert_int_equal(mrd_shard_queue_size(stepped.shard), 3);
    assert_int_equal(mrd_shard_step(stepped.shard), 2);
    assert_string_equal(stepped.log, "<apu.;");
    assert_int_equal(mrd_shard_step(stepped.shard), 2);
    assert_int_equal(mrd_shard_step(stepped.shard), 0);
    assert_string_equal(stepped.log, "<apu.;bq;");
    assert_true(mrd_shard_post_patient(stepped.shard, &q.message));
    assert_true(mrd_shard_post_patient(stepped.shard, &c.message));
    mrd_shard_stop(stepped.shard);
    assert_string_equal(stepped.log, "<apu.;bq;q;c;>");
    assert_false(mrd_shard_post_patient(stepped.shard, &q.message));
    mrd_shard_destroy(&stepped.shard);
}

static void what_comes_meanwhile_passes_a_patient_one_once(void **state)
{
    (void)state;
    struct stepped stepped;
    stepped_create(&stepped, 0);
    struct letter a = letter_of('a');
    struct letter b = letter_of('b');
    struct letter c = letter_of('c');
    struct letter p = letter_of('p');
    struct letter q = letter_of('q');
    a.posts = &b;
    b.posts = &c;
    assert_true(mrd_shard_post_patient(stepped.shard, &p.message));
    assert_true(mrd_shard_post_patient(stepped.shard, &q.message));
    assert_true(mrd_shard_post(stepped.shard, &a.message));
    assert_int_equal(mrd_shard_step(stepped.shard), 1);
    assert_int_equal(mrd_shard_step(stepped.shard), 2);
    assert_int_equal(mrd_shard_step(stepped.shard), 2);
    assert_string_equal(stepped.log, "<a;bp;cq;");
    mrd_shard_destroy(&stepped.shard);
}

static void urgent_messages_let_others_in_a_few_deep(void **state)
{
    (void)state;
    struct stepped stepped;
    stepped_create(&stepped, 0);
    struct letter letters[8];
    for (size_t i = 0; i < MRD_ARRAY_LEN(letters); i++) {
        letters[i] = letter_of((char)('a' + i));
        letters[i].urges = i + 1 < MRD_ARRAY_LEN(letters) ? &letters[i + 1] : NULL;
    }
    assert_true(mrd_shard_post(stepped.shard, &letters[0].message));
    assert_int_equal(mrd_shard_step(stepped.shard), 2); /* those inside others are not counted */
    assert_string_equal(stepped.log, "<abcde.....fgh..;");
    mrd_shard_destroy(&stepped.shard);
}

/* The role is the test's thread's own once it has stepped. */
static void timers_start(struct mrd_shard *shard, struct letter *letters, size_t count,
                         const int64_t *deadlines_ns)
{
    mrd_shard_assert_on(shard);
    for (size_t i = 0; i < count; i++) {
        mrd_shard_timer_start(shard, &letters[i].timer, deadlines_ns[i]);
    }
}

static void timers_fire_once_when_due_in_order_of_time(void **state)
{
    (void)state;
    struct stepped stepped;
    stepped_create(&stepped, 0);
    (void)mrd_shard_step(stepped.shard);
    struct letter letters[] = {letter_of('d'), letter_of('a'), letter_of('c'), letter_of('b')};
    timers_start(stepped.shard, letters, 4, (const int64_t[]){40, 10, 30, 20});
    stepped.now_ns = 9;
    assert_int_equal(mrd_shard_step(stepped.shard), 0);
    stepped.now_ns = 20;
    assert_int_equal(mrd_shard_step(stepped.shard), 2);
    assert_false(mrd_shard_timer_started(&letters[1].timer));
    assert_true(mrd_shard_timer_started(&letters[2].timer));
    mrd_shard_assert_on(stepped.shard);
    mrd_shard_timer_stop(stepped.shard, &letters[2].timer);
    mrd_shard_timer_stop(stepped.shard, &letters[2].timer);      /* does nothing */
    mrd_shard_timer_start(stepped.shard, &letters[0].timer, 50); /* moves it */
    stepped.now_ns = 49;
    assert_int_equal(mrd_shard_step(stepped.shard), 0);
    stepped.now_ns = 50;
    assert_int_equal(mrd_shard_step(stepped.shard), 1);
    assert_string_equal(stepped.log, "<ab;d;");
    mrd_shard_destroy(&stepped.shard);
}

static void a_timer_that_is_always_due_does_not_starve_messages(void **state)
{
    (void)state;
    struct stepped stepped;
    stepped_create(&stepped, 0);
    (void)mrd_shard_step(stepped.shard);
    struct letter always = letter_of('t');
    struct letter message = letter_of('m');
    always.again_ns = 0;
    timers_start(stepped.shard, &always, 1, (const int64_t[]){0});
    assert_true(mrd_shard_post(stepped.shard, &message.message));
    assert_int_equal(mrd_shard_step(stepped.shard), 2);
    assert_string_equal(stepped.log, "<tm;");
    mrd_shard_assert_on(stepped.shard);
    mrd_shard_timer_stop(stepped.shard, &always.timer);
    mrd_shard_destroy(&stepped.shard);
}

/* The same random starts, moves and stops on the heap and on a plain list. */
static void timers_agree_with_a_plain_list(void **state)
{
    (void)state;
    enum { TIMERS = 200, STEPS = 5000 };
    struct stepped stepped;
    stepped_create(&stepped, 0);
    (void)mrd_shard_step(stepped.shard);
    mrd_shard_assert_on(stepped.shard);
    static struct letter letters[TIMERS];
    static int64_t want_ns[TIMERS]; /* 0: not started */
    for (size_t i = 0; i < TIMERS; i++) {
        letters[i] = letter_of('x');
        want_ns[i] = 0;
    }
    uint32_t seed = 12345;
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1664525 + 1013904223;
        const size_t i = (seed >> 8) % TIMERS;
        if ((seed >> 28) < 10) {
            want_ns[i] = stepped.now_ns + 1 + (int64_t)((seed >> 16) % 1000);
            mrd_shard_timer_start(stepped.shard, &letters[i].timer, want_ns[i]);
        } else if ((seed >> 28) < 12) {
            want_ns[i] = 0;
            mrd_shard_timer_stop(stepped.shard, &letters[i].timer);
        } else {
            stepped.now_ns += (int64_t)((seed >> 16) % 100);
            stepped.log_size = 0;
            size_t due = 0;
            for (size_t k = 0; k < TIMERS; k++) {
                const bool is_due = want_ns[k] != 0 && want_ns[k] <= stepped.now_ns;
                due += is_due;
                want_ns[k] = is_due ? 0 : want_ns[k];
            }
            assert_int_equal(mrd_shard_step(stepped.shard), due);
        }
        assert_int_equal(mrd_shard_timer_started(&letters[i].timer), want_ns[i] != 0);
    }
    for (size_t i = 0; i < TIMERS; i++) {
        mrd_shard_timer_stop(stepped.shard, &letters[i].timer);
    }
    stepped.log_size = 0;
    mrd_shard_destroy(&stepped.shard);
}

/* ---- threads ---- */

enum { POSTERS = 4, POSTS = 50000 };

struct number {
    struct mrd_shard_message message;
    size_t poster;
    size_t number;
};

struct sums {
    size_t next[POSTERS]; /* the number expected of each poster */
    size_t count;
    size_t batches;
    bool stopped;
};

static void number_run(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    struct number *number = MRD_CONTAINER_OF(message, struct number, message);
    struct sums *sums = mrd_shard_context(shard);
    mrd_assert(number->number == sums->next[number->poster]);
    sums->next[number->poster]++;
    sums->count++;
    free(number);
}

static void sums_batch(struct mrd_shard *shard)
{
    ((struct sums *)mrd_shard_context(shard))->batches++;
}

static void sums_stop(struct mrd_shard *shard)
{
    struct sums *sums = mrd_shard_context(shard);
    mrd_assert(!sums->stopped);
    sums->stopped = true;
}

struct poster {
    struct mrd_shard *shard;
    size_t index;
    size_t posted;
    bool until_refused;
};

static void *poster_main(void *context)
{
    struct poster *poster = context;
    while (poster->until_refused || poster->posted < POSTS) {
        struct number *number = calloc(1, sizeof(*number));
        *number = (struct number){{.run = number_run}, poster->index, poster->posted};
        /* Every other one in the shard's place, if it is idle. */
        while (!(poster->posted % 2 == 0 && mrd_shard_try_run(poster->shard, &number->message)) &&
               !mrd_shard_post(poster->shard, &number->message)) {
            if (poster->until_refused) {
                free(number);
                return NULL;
            }
            (void)sched_yield(); /* full */
        }
        poster->posted++;
    }
    return NULL;
}

static void run_posters(struct sums *sums, bool until_refused, size_t queue_max)
{
    struct mrd_shard *shard = NULL;
    const struct mrd_shard_config config = {.name = "sums",
                                            .queue_max = queue_max,
                                            .context = sums,
                                            .on_batch = sums_batch,
                                            .on_stop = sums_stop};
    assert_int_equal(mrd_shard_create(&config, &shard, NULL), MRD_OK);
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    for (size_t i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){shard, i, 0, until_refused};
        assert_int_equal(pthread_create(&threads[i], NULL, poster_main, &posters[i]), 0);
    }
    if (until_refused) {
        mrd_shard_stop(shard);
    }
    size_t posted = 0;
    for (size_t i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        posted += posters[i].posted;
    }
    mrd_shard_destroy(&shard);
    assert_int_equal(sums->count, posted);
    assert_true(sums->stopped);
}

static void every_message_runs_once_in_its_posters_order(void **state)
{
    (void)state;
    struct sums sums = {0};
    run_posters(&sums, false, 1000);
    assert_int_equal(sums.count, POSTERS * POSTS);
    assert_true(sums.batches > 0);
}

static void what_was_taken_before_a_stop_still_runs(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct sums sums = {0};
        run_posters(&sums, true, SIZE_MAX >> 2);
    }
}

/* Two shards hand a message back and forth: each sleeps in between, so lost wake-ups would hang. */
struct ball {
    struct mrd_shard_message message;
    struct mrd_shard *sides[2];
    size_t left;
    pthread_mutex_t lock;
    pthread_cond_t done;
};

static void ball_run(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    struct ball *ball = MRD_CONTAINER_OF(message, struct ball, message);
    if (--ball->left > 0) {
        struct mrd_shard *other = ball->sides[shard == ball->sides[0]];
        mrd_assert(ball->left % 3 == 0   ? mrd_shard_post_urgent(other, message)
                   : ball->left % 3 == 1 ? mrd_shard_post_patient(other, message)
                                         : mrd_shard_post(other, message));
        return;
    }
    pthread_mutex_lock(&ball->lock);
    pthread_cond_signal(&ball->done);
    pthread_mutex_unlock(&ball->lock);
}

static void no_wake_up_is_lost(void **state)
{
    (void)state;
    struct ball ball = {.message.run = ball_run,
                        .left = 20000,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .done = PTHREAD_COND_INITIALIZER};
    const struct mrd_shard_config config = {.name = "side"};
    assert_int_equal(mrd_shard_create(&config, &ball.sides[0], NULL), MRD_OK);
    assert_int_equal(mrd_shard_create(&config, &ball.sides[1], NULL), MRD_OK);
    pthread_mutex_lock(&ball.lock);
    assert_true(mrd_shard_post(ball.sides[0], &ball.message));
    pthread_cond_wait(&ball.done, &ball.lock);
    pthread_mutex_unlock(&ball.lock);
    assert_int_equal(ball.left, 0);
    mrd_shard_destroy(&ball.sides[0]);
    mrd_shard_destroy(&ball.sides[1]);
}

/* Two numbers that are the same whenever they may be looked at: messages that are not shared change one after the other. */
struct twins {
    struct mrd_shard *shard;
    uint64_t first;
    uint64_t second;
    _Atomic bool done;
    _Atomic size_t looks;
};

struct twins_message {
    struct mrd_shard_message message;
    struct mrd_shard_message inside; /* not shared, run in the middle of one that is */
    pthread_mutex_t lock;
    pthread_cond_t ran;
    bool has_run;
};

static void twins_change(struct mrd_shard *shard)
{
    struct twins *twins = mrd_shard_context(shard);
    twins->first++;
    (void)sched_yield();
    twins->second++;
}

static void twins_inside(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    (void)message;
    twins_change(shard);
}

static void twins_run(struct mrd_shard *shard, struct mrd_shard_message *base)
{
    struct twins_message *message = MRD_CONTAINER_OF(base, struct twins_message, message);
    const struct twins *twins = mrd_shard_context(shard);
    if (!base->shared) {
        twins_change(shard);
    } else {
        mrd_assert(mrd_shard_post_urgent(shard, &message->inside));
        mrd_shard_let_urgent(shard);
        mrd_assert(twins->first == twins->second);
    }
    pthread_mutex_lock(&message->lock);
    message->has_run = true;
    pthread_cond_signal(&message->ran);
    pthread_mutex_unlock(&message->lock);
}

static void twins_look(void *context)
{
    struct twins *twins = context;
    mrd_assert(twins->first == twins->second);
    atomic_fetch_add(&twins->looks, 1);
}

static void *twins_reader(void *context)
{
    struct twins *twins = context;
    while (!atomic_load(&twins->done)) {
        if (!mrd_shard_try_read(twins->shard, twins_look, twins)) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void others_read_what_nobody_changes_meanwhile(void **state)
{
    (void)state;
    enum { READERS = 3 };
    struct twins twins = {0};
    const struct mrd_shard_config config = {.name = "twins", .context = &twins};
    assert_int_equal(mrd_shard_create(&config, &twins.shard, NULL), MRD_OK);
    pthread_t threads[READERS];
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, twins_reader, &twins), 0);
    }
    struct twins_message message = {.message.run = twins_run,
                                    .inside.run = twins_inside,
                                    .lock = PTHREAD_MUTEX_INITIALIZER,
                                    .ran = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < 3000 || atomic_load(&twins.looks) < 100; i++) {
        message.message.shared = i % 2 == 0;
        message.has_run = false;
        if (i % 3 == 0 && mrd_shard_try_run(twins.shard, &message.message)) {
            continue;
        }
        assert_true(mrd_shard_post(twins.shard, &message.message));
        pthread_mutex_lock(&message.lock);
        while (!message.has_run) {
            pthread_cond_wait(&message.ran, &message.lock);
        }
        pthread_mutex_unlock(&message.lock);
    }
    atomic_store(&twins.done, true);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    mrd_shard_destroy(&twins.shard);
}

static void a_shard_that_changes_its_state_is_not_read(void **state)
{
    (void)state;
    struct stepped stepped;
    stepped_create(&stepped, 0);
    struct twins twins = {0};
    assert_false(mrd_shard_try_read(stepped.shard, twins_look, &twins)); /* it has not started */
    assert_int_equal(mrd_shard_step(stepped.shard), 0);
    assert_true(mrd_shard_try_read(stepped.shard, twins_look, &twins));
    struct letter a = letter_of('a');
    a.reads = true;
    a.may_be_read = false;
    assert_true(mrd_shard_post(stepped.shard, &a.message));
    assert_int_equal(mrd_shard_step(stepped.shard), 1);
    a.message.shared = true;
    a.may_be_read = true;
    assert_true(mrd_shard_post(stepped.shard, &a.message));
    assert_int_equal(mrd_shard_step(stepped.shard), 1);
    assert_string_equal(stepped.log, "<a;a;");
    mrd_shard_destroy(&stepped.shard);
}

struct alarm {
    struct mrd_shard_timer timer;
    pthread_mutex_t lock;
    pthread_cond_t rang;
    bool has_rung;
};

static void alarm_fire(struct mrd_shard *shard, struct mrd_shard_timer *timer)
{
    (void)shard;
    struct alarm *alarm = MRD_CONTAINER_OF(timer, struct alarm, timer);
    pthread_mutex_lock(&alarm->lock);
    alarm->has_rung = true;
    pthread_cond_signal(&alarm->rang);
    pthread_mutex_unlock(&alarm->lock);
}

static void alarm_set_by(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    (void)message;
    mrd_shard_assert_on(shard);
    struct alarm *alarm = mrd_shard_context(shard);
    mrd_shard_timer_start(shard, &alarm->timer, mrd_shard_now_ns(shard) + 1000000);
}

static void alarm_set(struct mrd_shard *shard) { alarm_set_by(shard, NULL); }

static void alarm_wait(struct alarm *alarm)
{
    pthread_mutex_lock(&alarm->lock);
    while (!alarm->has_rung) {
        pthread_cond_wait(&alarm->rang, &alarm->lock);
    }
    alarm->has_rung = false;
    pthread_mutex_unlock(&alarm->lock);
}

static void a_sleeping_shard_wakes_for_its_timer(void **state)
{
    (void)state;
    struct alarm alarm = {.timer.fire = alarm_fire,
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .rang = PTHREAD_COND_INITIALIZER};
    const struct mrd_shard_config config = {
        .name = "alarm", .context = &alarm, .on_start = alarm_set};
    struct mrd_shard *shard = NULL;
    assert_int_equal(mrd_shard_create(&config, &shard, NULL), MRD_OK);
    alarm_wait(&alarm);
    /* Now it sleeps without a timer; whoever is the shard instead sets one. */
    struct mrd_shard_message message = {.run = alarm_set_by};
    while (!mrd_shard_try_run(shard, &message)) {
        (void)sched_yield();
    }
    alarm_wait(&alarm);
    mrd_shard_destroy(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_run_in_order_and_batches_end_with_a_flush),
        cmocka_unit_test(an_idle_shard_lends_its_place_and_nobody_is_overtaken),
        cmocka_unit_test(what_is_urgent_goes_first_and_into_the_middle_of_what_lets_it_in),
        cmocka_unit_test(what_is_patient_goes_last_and_one_at_a_time),
        cmocka_unit_test(what_comes_meanwhile_passes_a_patient_one_once),
        cmocka_unit_test(urgent_messages_let_others_in_a_few_deep),
        cmocka_unit_test(a_shard_that_changes_its_state_is_not_read),
        cmocka_unit_test(others_read_what_nobody_changes_meanwhile),
        cmocka_unit_test(a_full_queue_refuses_and_the_poster_keeps_the_message),
        cmocka_unit_test(timers_fire_once_when_due_in_order_of_time),
        cmocka_unit_test(a_timer_that_is_always_due_does_not_starve_messages),
        cmocka_unit_test(timers_agree_with_a_plain_list),
        cmocka_unit_test(every_message_runs_once_in_its_posters_order),
        cmocka_unit_test(what_was_taken_before_a_stop_still_runs),
        cmocka_unit_test(no_wake_up_is_lost),
        cmocka_unit_test(a_sleeping_shard_wakes_for_its_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
