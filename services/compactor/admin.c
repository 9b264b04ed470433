#include "compactor/admin.h"

enum { ACCEPTED = 202 };

static void get_quarantine(void *context, struct mrd_http_request *request)
{
    const struct cmp_admin *admin = context;
    struct mrd_buf body = {0};
    cmp_merging_quarantine(admin->merging, &body);
    if (body.size == 0) {
        mrd_http_reply_text(request, mrd_http_status_of(MRD_E_UNAVAILABLE),
                            "the quarantine was not looked at yet: object storage does not "
                            "answer, or the compactor has just begun\n");
        return;
    }
    mrd_http_header_set(request, "Content-Type", "application/json");
    mrd_http_reply(request, 200, &body);
}

static void get_erasures(void *context, struct mrd_http_request *request)
{
    const struct cmp_admin *admin = context;
    struct mrd_buf body = {0};
    cmp_erasing_json(admin->erasing, &body);
    if (body.size == 0) {
        mrd_http_reply_text(request, mrd_http_status_of(MRD_E_UNAVAILABLE),
                            "the catalog was not looked at yet: object storage does not answer, "
                            "or the compactor has just begun\n");
        return;
    }
    mrd_http_header_set(request, "Content-Type", "application/json");
    mrd_http_reply(request, 200, &body);
}

static bool read_id(struct mrd_bytes text, struct mrd_id128 *out)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t halves[2] = {0, 0};
    for (size_t i = 0; i < text.size; i++) {
        const char *digit = text.data[i] == '\0' ? NULL : strchr(digits, text.data[i]);
        if (digit == NULL || text.size != 32) {
            return false;
        }
        halves[i / 16] = halves[i / 16] << 4 | (uint64_t)(digit - digits);
    }
    out->high = halves[0];
    out->low = halves[1];
    return text.size == 32;
}

static void post_verify(void *context, struct mrd_http_request *request)
{
    const struct cmp_admin *admin = context;
    struct mrd_http_params params;
    struct mrd_bytes text = MRD_BYTES_NONE;
    struct mrd_id128 id;
    struct mrd_error err;
    if (mrd_http_params_parse(request, &params, &err) != MRD_OK) {
        mrd_http_reply_text(request, 400, "%s\n", err.text);
        return;
    }
    if (!mrd_http_param_get(&params, "id", &text) || !read_id(text, &id)) {
        mrd_http_reply_text(request, 400,
                            "the parameter id names the receipt: 32 hexadecimal digits, as "
                            "/erasures has them\n");
        return;
    }
    if (!cmp_erasing_verify(admin->erasing, id)) {
        mrd_http_reply_text(request, 429, "%d receipts wait to be verified: ask again later\n",
                            CMP_ERASING_VERIFY_MAX);
        return;
    }
    cmp_jobs_nudge(admin->jobs, CMP_ERASING_ROLE);
    mrd_http_reply_text(request, ACCEPTED, "it is verified; /erasures says what came of it\n");
}

static void post_release(void *context, struct mrd_http_request *request)
{
    const struct cmp_admin *admin = context;
    struct mrd_http_params params;
    struct mrd_bytes block;
    struct mrd_error err;
    if (mrd_http_params_parse(request, &params, &err) != MRD_OK) {
        mrd_http_reply_text(request, 400, "%s\n", err.text);
        return;
    }
    if (!mrd_http_param_get(&params, "block", &block) || block.size == 0 ||
        block.size > MRD_BLOCK_ID_SIZE_MAX) {
        mrd_http_reply_text(request, 400,
                            "the parameter block names the block to let out: an id of 1 to %d "
                            "bytes, as /quarantine has it\n",
                            MRD_BLOCK_ID_SIZE_MAX);
        return;
    }
    if (!cmp_merging_release(admin->merging, block)) {
        mrd_http_reply_text(request, 429, "%d blocks wait to be let out: ask again later\n",
                            CMP_MERGING_RELEASES_MAX);
        return;
    }
    cmp_jobs_nudge(admin->jobs, CMP_MERGING_ROLE);
    mrd_http_reply_text(request, ACCEPTED, "it is let out and tried again\n");
}

static void post_scrub(void *context, struct mrd_http_request *request)
{
    const struct cmp_admin *admin = context;
    cmp_tidying_want_scrub(admin->tidying);
    cmp_jobs_nudge(admin->jobs, CMP_SCRUB_ROLE);
    mrd_http_reply_text(request, ACCEPTED,
                        "all blocks are read, unless another compactor is at it\n");
}

static void post_sweep(void *context, struct mrd_http_request *request)
{
    const struct cmp_admin *admin = context;
    cmp_tidying_want_sweep(admin->tidying);
    cmp_jobs_nudge(admin->jobs, CMP_SWEEP_ROLE);
    mrd_http_reply_text(request, ACCEPTED, "a sweep begins, unless another compactor is at it\n");
}

static void post_expire(void *context, struct mrd_http_request *request)
{
    const struct cmp_admin *admin = context;
    cmp_expiring_want(admin->expiring);
    cmp_jobs_nudge(admin->jobs, CMP_EXPIRING_ROLE);
    mrd_http_reply_text(request, ACCEPTED,
                        "what is out of retention goes, unless another compactor is at it\n");
}

static void post_cool(void *context, struct mrd_http_request *request)
{
    const struct cmp_admin *admin = context;
    if (!cmp_cooling_is_on(admin->cooling)) {
        mrd_http_reply_text(request, 422,
                            "no class is given to put blocks into: set "
                            "compactor.cold_class\n");
        return;
    }
    cmp_cooling_want(admin->cooling);
    cmp_jobs_nudge(admin->jobs, CMP_COOLING_ROLE);
    mrd_http_reply_text(request, ACCEPTED,
                        "old blocks go into the colder class, unless another compactor is at it\n");
}

void cmp_admin_mount(struct cmp_admin *admin, struct mrd_http_server *server)
{
    const struct mrd_http_route routes[] = {
        {.methods = MRD_HTTP_GET,
         .path = "/quarantine",
         .handler = get_quarantine,
         .context = admin                                                                        },
        {.methods = MRD_HTTP_GET,  .path = "/erasures", .handler = get_erasures, .context = admin},
        {.methods = MRD_HTTP_POST,
         .path = "/quarantine/release",
         .handler = post_release,
         .context = admin                                                                        },
        {.methods = MRD_HTTP_POST,
         .path = "/erasures/verify",
         .handler = post_verify,
         .context = admin                                                                        },
        {.methods = MRD_HTTP_POST, .path = "/scrub",    .handler = post_scrub,   .context = admin},
        {.methods = MRD_HTTP_POST, .path = "/sweep",    .handler = post_sweep,   .context = admin},
        {.methods = MRD_HTTP_POST, .path = "/cool",     .handler = post_cool,    .context = admin},
        {.methods = MRD_HTTP_POST, .path = "/expire",   .handler = post_expire,  .context = admin},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(routes); i++) {
        mrd_http_route_add(server, &routes[i]);
    }
}
