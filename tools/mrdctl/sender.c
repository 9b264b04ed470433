#include "mrdctl/sender.h"

#include <inttypes.h>
#include <stdio.h>

#include "codec/histogram.h"
#include "codec/snappy_block.h"
#include "mrdctl/patience.h"

enum { TOLD_MAX = 20 };

#define WRITE_PATH "/api/v1/push"

void ctl_sender_init(struct ctl_sender *sender) { mrd_rw2_build_init(&sender->build); }

void ctl_sender_fini(struct ctl_sender *sender)
{
    mrd_rw2_build_fini(&sender->build);
    mrd_buf_fini(&sender->body);
}

/* ---- what is added ---- */

static void begin(struct ctl_sender *sender, struct mrd_labels labels)
{
    if (!sender->begun) {
        mrd_rw2_build_begin(&sender->build, labels);
        sender->begun = true;
    }
}

void ctl_sender_end(struct ctl_sender *sender)
{
    if (sender->begun) {
        mrd_rw2_build_end(&sender->build);
        sender->begun = false;
    }
}

bool ctl_sender_is_well_filled(const struct ctl_sender *sender)
{
    return 4 * sender->weight >= 3 * sender->samples_max ||
           4 * mrd_rw2_build_size(&sender->build) >= 3 * sender->bytes_max;
}

static enum mrd_status added(struct ctl_sender *sender, uint64_t weight, struct mrd_error *err)
{
    sender->weight += weight;
    if (sender->weight < sender->samples_max &&
        mrd_rw2_build_size(&sender->build) < sender->bytes_max) {
        return MRD_OK;
    }
    ctl_sender_end(sender);
    return ctl_sender_flush(sender, err);
}

enum mrd_status ctl_sender_sample(struct ctl_sender *sender, struct mrd_labels labels,
                                  struct mrd_sample sample, mrd_time_ms start_ms,
                                  struct mrd_error *err)
{
    begin(sender, labels);
    mrd_rw2_build_sample(&sender->build, sample, start_ms);
    return added(sender, 1, err);
}

enum mrd_status ctl_sender_histogram(struct ctl_sender *sender, struct mrd_labels labels,
                                     mrd_time_ms time_ms, mrd_time_ms start_ms,
                                     const struct mrd_histogram *histogram, struct mrd_error *err)
{
    begin(sender, labels);
    mrd_rw2_build_histogram(&sender->build, time_ms, start_ms, histogram);
    return added(sender, 1 + mrd_histogram_weight(histogram), err);
}

/* ---- one attempt ---- */

struct attempt {
    enum { TAKEN, REFUSED, LATER, ENDED } outcome;
    int64_t wait_ms; /* LATER: what the server asks for; 0: nothing */
    bool counted;    /* it said how many were written */
    struct ctl_sent written;
    struct mrd_error err;
};

static void judge(struct mrd_http_client *client, const struct mrd_http_answer *answer,
                  struct attempt *out)
{
    const unsigned status = answer->status;
    const struct mrd_bytes text = ctl_answer_text(answer);
    out->counted = ctl_header_count(client, "X-Prometheus-Remote-Write-Samples-Written",
                                    &out->written.samples) &&
                   ctl_header_count(client, "X-Prometheus-Remote-Write-Histograms-Written",
                                    &out->written.histograms);
    (void)mrd_fail(&out->err, status == 401 || status == 403 ? MRD_E_DENIED : MRD_E_INVALID,
                   "the server answers %u: %.*s", status, MRD_FMT(text));
    if (status / 100 == 2) {
        out->outcome = TAKEN;
    } else if (status == 400 && out->counted) {
        out->outcome = REFUSED;
    } else if (status == 429 || status >= 500) {
        out->outcome = LATER;
        out->err.status = MRD_E_UNAVAILABLE;
        out->wait_ms = ctl_retry_after_ms(client);
    } else {
        out->outcome = ENDED;
    }
}

static struct attempt attempt_make(struct ctl_sender *sender)
{
    struct attempt attempt = {.outcome = ENDED};
    struct mrd_http_answer answer;
    const struct mrd_http_call call = {
        .method = "POST",
        .url = WRITE_PATH,
        .headers = {"Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request",
                    "Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 2.0.0"},
        .body = mrd_buf_view(&sender->body),
    };
    const enum mrd_status status =
        ctl_connection_send(sender->connection, &call, &answer, &attempt.err);
    if (status == MRD_OK) {
        judge(sender->connection->client, &answer, &attempt);
    } else if (status == MRD_E_UNAVAILABLE) {
        attempt.outcome = LATER;
    }
    return attempt;
}

/* ---- attempts ---- */

/* Until the request is taken or refused for good, or patience ends. */
static enum mrd_status deliver(struct ctl_sender *sender, struct attempt *out,
                               struct mrd_error *err)
{
    struct ctl_patience patience;
    ctl_patience_init(&patience, sender->patience_ms);
    for (;;) {
        *out = attempt_make(sender);
        if (out->outcome != LATER) {
            return MRD_OK;
        }
        if (!ctl_patience_wait(&patience, out->wait_ms, out->err.text)) {
            return mrd_fail(err, MRD_E_UNAVAILABLE, "not taken within --give-up-after: %s",
                            out->err.text);
        }
        sender->retries++;
    }
}

static bool all_written(const struct ctl_sender *sender, const struct attempt *attempt)
{
    return attempt->written.samples == sender->build.sample_count &&
           attempt->written.histograms == sender->build.histogram_count;
}

static bool too_many_written(const struct ctl_sender *sender, const struct attempt *attempt)
{
    return attempt->written.samples > sender->build.sample_count ||
           attempt->written.histograms > sender->build.histogram_count;
}

/* A refusal that leaves out some; one that leaves out all may be for a reason that all have. */
static enum mrd_status refusal_take(struct ctl_sender *sender, const struct attempt *attempt,
                                    struct mrd_error *err)
{
    sender->refused += sender->build.sample_count + sender->build.histogram_count -
                       attempt->written.samples - attempt->written.histograms;
    if (sender->told++ < TOLD_MAX) {
        (void)fprintf(stderr, "%s\n", attempt->err.text);
    }
    if (sender->told == TOLD_MAX) {
        (void)fprintf(stderr, "more refusals are counted, not printed\n");
    }
    return attempt->written.samples + attempt->written.histograms > 0 || sender->keep_going
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "of a whole request nothing was written (--keep-going goes on): %s",
                          attempt->err.text);
}

static enum mrd_status outcome_take(struct ctl_sender *sender, const struct attempt *attempt,
                                    struct mrd_error *err)
{
    if (attempt->outcome == ENDED) {
        *err = attempt->err;
        return err->status;
    }
    if (!attempt->counted) {
        return mrd_fail(err, MRD_E_INVALID,
                        "the server does not say what it wrote: it is no receiver of remote write "
                        "2.0");
    }
    if (attempt->outcome == TAKEN ? !all_written(sender, attempt)
                                  : too_many_written(sender, attempt)) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "of %zu samples and %zu histograms the server says that it wrote %" PRIu64
                        " and %" PRIu64 ", and answers as if that were right",
                        sender->build.sample_count, sender->build.histogram_count,
                        attempt->written.samples, attempt->written.histograms);
    }
    sender->written.samples += attempt->written.samples;
    sender->written.histograms += attempt->written.histograms;
    return attempt->outcome == REFUSED ? refusal_take(sender, attempt, err) : MRD_OK;
}

static enum mrd_status send_build(struct ctl_sender *sender, struct mrd_error *err)
{
    struct attempt attempt;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf message = {0};
    mrd_rw2_build_append(&sender->build, &message);
    mrd_buf_clear(&sender->body);
    mrd_snappy_encode(mrd_buf_view(&message), &sender->body);
    MRD_TRY(deliver(sender, &attempt, err));
    return outcome_take(sender, &attempt, err);
}

enum mrd_status ctl_sender_flush(struct ctl_sender *sender, struct mrd_error *err)
{
    mrd_assert(!sender->begun);
    if (sender->weight == 0) {
        return MRD_OK;
    }
    sender->requests++;
    if (sender->connection != NULL) {
        MRD_TRY(send_build(sender, err));
    } else {
        sender->written.samples += sender->build.sample_count;
        sender->written.histograms += sender->build.histogram_count;
    }
    mrd_rw2_build_clear(&sender->build);
    sender->weight = 0;
    return MRD_OK;
}
