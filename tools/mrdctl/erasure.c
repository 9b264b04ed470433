/* mrdctl erasure list, show, verify: requests to erase, how far they are, and whether what a receipt says is so. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <jansson.h>

#include "mrdctl/command.h"
#include "mrdctl/connection.h"
#include "mrdctl/patience.h"

enum { ID_SIZE = 32, VERIFY_LOOK_MS = 500 };

struct options {
    struct ctl_connection_options connection;
    const char *tenant; /* to list; NULL: all */
    mrd_time_ms patience_ms;
};

static void json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

/* ---- what a compactor says ---- */

static enum mrd_status answer_check(const struct mrd_http_answer *answer, unsigned want,
                                    struct mrd_error *err)
{
    if (answer->status == want) {
        return MRD_OK;
    }
    const struct mrd_bytes text = ctl_answer_text(answer);
    const bool later = answer->status == 429 || answer->status > 500;
    return mrd_fail(err, later ? MRD_E_UNAVAILABLE : MRD_E_INVALID,
                    "the compactor answers %u: %.*s", answer->status, MRD_FMT(text));
}

/* {"seen_ms":T,"erasures":[...],"receipts":[...],"verified":[...]} */
static enum mrd_status get_erasures(struct ctl_connection *connection, json_t **out,
                                    struct mrd_error *err)
{
    struct mrd_http_answer answer;
    json_error_t problem;
    const struct mrd_http_call call = {.method = "GET", .url = "/erasures"};
    MRD_TRY(ctl_connection_send(connection, &call, &answer, err));
    MRD_TRY(answer_check(&answer, 200, err));
    mrd_auto(json_drop)
    json_t *root = json_loadb((const char *)answer.body.data, answer.body.size,
                              JSON_REJECT_DUPLICATES, &problem);
    if (!json_is_array(json_object_get(root, "erasures")) ||
        !json_is_array(json_object_get(root, "receipts"))) {
        return mrd_fail(err, MRD_E_INVALID, "the answer is not that of a compactor");
    }
    *out = MRD_MOVE(root);
    return MRD_OK;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static int64_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const json_t *find(const json_t *root, const char *list, const char *id)
{
    const json_t *items = json_object_get(root, list);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        if (strcmp(text_of(item, "id"), id) == 0) {
            return item;
        }
    }
    return NULL;
}

static const char *time_text(int64_t time_ms, char out[32])
{
    const time_t at = (time_t)(time_ms / 1000);
    struct tm date;
    if (gmtime_r(&at, &date) == NULL || date.tm_year + 1900 < 0 || date.tm_year + 1900 > 9999) {
        return "-";
    }
    return strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &date) == 0 ? "-" : out;
}

/* ---- list ---- */

static void print_line(const json_t *item, const char *state, const char *time_key)
{
    char since[32];
    char last[32];
    printf("%-32s  %-10s  %-20s  %-20s  %8" PRId64 "  %12" PRId64 "  %s\n", text_of(item, "id"),
           state, time_text(number_of(item, "since_ms"), since),
           time_text(number_of(item, time_key), last), number_of(item, "blocks"),
           number_of(item, "samples"), text_of(item, "tenant"));
}

static void print_list(const json_t *items, const char *state, const char *time_key,
                       const char *tenant)
{
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        if (tenant == NULL || strcmp(text_of(item, "tenant"), tenant) == 0) {
            print_line(item, state == NULL ? text_of(item, "state") : state, time_key);
        }
    }
}

static enum mrd_status list(struct ctl_connection *connection, const struct options *options,
                            const char *id, struct mrd_error *err)
{
    mrd_auto(json_drop)
    json_t *root = NULL;
    (void)id;
    MRD_TRY(get_erasures(connection, &root, err));
    printf("%-32s  %-10s  %-20s  %-20s  %8s  %12s  %s\n", "ID", "STATE", "SINCE", "CHANGED",
           "BLOCKS", "SAMPLES", "TENANT");
    print_list(json_object_get(root, "erasures"), NULL, "changed_ms", options->tenant);
    print_list(json_object_get(root, "receipts"), "done", "done_ms", options->tenant);
    return MRD_OK;
}

/* ---- show ---- */

static const char *state_means(const char *state)
{
    static const struct {
        const char *state;
        const char *means;
    } known[] = {
        {"owing",     "blocks are written anew without it"                                },
        {"building",  "the log before it is brought to blocks"                            },
        {"tables",    "the tenant's tables are taken away"                                },
        {"waiting",   "queries may still read the files of before (compactor.grace)"      },
        {"sweeping",  "files and commits of before are deleted"                           },
        {"log",       "a partition's log has not dropped it (compactor.trim, log.max_age)"},
        {"log_files", "NATS may keep it in a file that goes on behind it"                 },
        {"ready",     "the receipt comes next"                                            },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(known); i++) {
        if (strcmp(known[i].state, state) == 0) {
            return known[i].means;
        }
    }
    return "unknown to this mrdctl";
}

static void print_time(const char *name, int64_t time_ms)
{
    char text[32];
    printf("%-12s %s\n", name, time_text(time_ms, text));
}

/* Beyond a thousand years from now or before it no sample was meant. */
static void print_range(const json_t *item)
{
    static const int64_t far_ms = INT64_C(1) << 52;
    char text[32];
    const int64_t min_ms = number_of(item, "time_min_ms");
    const int64_t max_ms = number_of(item, "time_max_ms");
    printf("%-12s %s\n", "from", min_ms < -far_ms ? "the beginning" : time_text(min_ms, text));
    printf("%-12s %s\n", "to", max_ms > far_ms ? "the end" : time_text(max_ms, text));
}

static void print_both(const json_t *item)
{
    printf("%-12s %s\n%-12s %s\n", "id", text_of(item, "id"), "tenant", text_of(item, "tenant"));
    print_range(item);
    printf("%-12s %s\n", "digest", text_of(item, "digest"));
    print_time("since", number_of(item, "since_ms"));
    printf("%-12s %" PRId64 "\n%-12s %" PRId64 "\n", "blocks", number_of(item, "blocks"), "samples",
           number_of(item, "samples"));
}

static enum mrd_status show(struct ctl_connection *connection, const struct options *options,
                            const char *id, struct mrd_error *err)
{
    mrd_auto(json_drop)
    json_t *root = NULL;
    (void)options;
    MRD_TRY(get_erasures(connection, &root, err));
    const json_t *receipt = find(root, "receipts", id);
    const json_t *erasure = find(root, "erasures", id);
    if (receipt != NULL) {
        print_both(receipt);
        printf("%-12s done: nothing in the region has it\n", "state");
        print_time("done", number_of(receipt, "done_ms"));
        return MRD_OK;
    }
    if (erasure == NULL) {
        return mrd_fail(err, MRD_E_NOT_FOUND, "the region has no request to erase of this id");
    }
    print_both(erasure);
    printf("%-12s %s: %s\n", "state", text_of(erasure, "state"),
           state_means(text_of(erasure, "state")));
    print_time("changed", number_of(erasure, "changed_ms"));
    printf("%-12s %" PRId64 ", %" PRId64 " of them in quarantine\n", "owed",
           number_of(erasure, "owed"), number_of(erasure, "quarantined"));
    printf("%-12s %" PRId64 "\n", "leaving", number_of(erasure, "leaving"));
    if (json_object_get(erasure, "partition") != NULL) {
        printf("%-12s %" PRId64 "\n", "partition", number_of(erasure, "partition"));
    }
    return MRD_OK;
}

/* ---- verify ---- */

static enum mrd_status ask_to_verify(struct ctl_connection *connection, const char *id,
                                     struct mrd_error *err)
{
    char url[64];
    struct mrd_http_answer answer;
    (void)snprintf(url, sizeof(url), "/erasures/verify?id=%s", id);
    const struct mrd_http_call call = {.method = "POST", .url = url};
    MRD_TRY(ctl_connection_send(connection, &call, &answer, err));
    return answer_check(&answer, 202, err);
}

/* What came of it. Exit code 1 if it is not so. */
static enum mrd_status verdict(const json_t *verified, struct mrd_error *err)
{
    const json_t *left = json_object_get(verified, "left");
    const char *problem = text_of(verified, "problem");
    for (size_t i = 0; i < json_array_size(left); i++) {
        printf("still there: %s\n", json_string_value(json_array_get(left, i)));
    }
    if (problem[0] != '\0') {
        return mrd_fail(err, MRD_E_CORRUPT, "%s", problem);
    }
    printf("%" PRId64 " objects were looked at: the receipt is in the catalog, the request and all "
           "files of before\nthat the catalog does not name are gone\n",
           number_of(verified, "objects"));
    return MRD_OK;
}

static enum mrd_status verify(struct ctl_connection *connection, const struct options *options,
                              const char *id, struct mrd_error *err)
{
    mrd_auto(json_drop)
    json_t *before = NULL;
    MRD_TRY(get_erasures(connection, &before, err));
    const json_t *known = find(before, "verified", id);
    const int64_t known_ms = known == NULL ? INT64_MIN : number_of(known, "seen_ms");
    MRD_TRY(ask_to_verify(connection, id, err));
    struct ctl_patience patience;
    ctl_patience_init(&patience, options->patience_ms);
    do {
        mrd_auto(json_drop)
        json_t *root = NULL;
        MRD_TRY(get_erasures(connection, &root, err));
        const json_t *verified = find(root, "verified", id);
        if (verified != NULL && number_of(verified, "seen_ms") > known_ms) {
            return verdict(verified, err);
        }
    } while (ctl_patience_wait(&patience, VERIFY_LOOK_MS, "the compactor lists the objects"));
    return mrd_fail(err, MRD_E_UNAVAILABLE, "the compactor has not come to it yet");
}

/* ---- the commands ---- */

typedef enum mrd_status work_fn(struct ctl_connection *connection, const struct options *options,
                                const char *id, struct mrd_error *err);

static enum ctl_exit work(const struct ctl_command *command, const struct options *options,
                          const char *id, work_fn *fn)
{
    struct mrd_error err = {0};
    mrd_auto(ctl_connection_close)
    struct ctl_connection connection = {0};
    enum mrd_status status = ctl_connection_open(&connection, &options->connection, &err);
    if (status == MRD_OK) {
        status = fn(&connection, options, id, &err);
    }
    return status == MRD_OK ? CTL_EXIT_DONE : ctl_fail(command, status, &err);
}

#define COMPACTOR "a compactor's operations port, such as http://127.0.0.1:7203"

static enum ctl_exit run_list(const struct ctl_command *command, int count, char **arguments)
{
    enum ctl_exit code;
    struct options given = {0};
    const struct ctl_option options[] = {
        CTL_CONNECTION_ROWS(&given.connection, COMPACTOR),
        CTL_ROW("tenant", CTL_TEXT, "NAME", "only this tenant's", &given.tenant),
    };
    return ctl_options_take(command, options, MRD_ARRAY_LEN(options), count, arguments, NULL, &code)
               ? work(command, &given, NULL, list)
               : code;
}

/* The one argument beside the options. */
static bool take_id(const struct ctl_command *command, const struct ctl_list *rest,
                    const char **out)
{
    const char *id = rest->count == 1 ? rest->items[0] : "";
    if (strlen(id) != ID_SIZE || strspn(id, "0123456789abcdef") != ID_SIZE) {
        (void)fprintf(stderr,
                      "mrdctl %s: the id of a request is wanted: %d hexadecimal digits, as mrdctl "
                      "erasure list says\n",
                      command->words, ID_SIZE);
        return false;
    }
    *out = id;
    return true;
}

static enum ctl_exit run_one(const struct ctl_command *command, int count, char **arguments,
                             work_fn *fn)
{
    enum ctl_exit code;
    struct ctl_list rest = {.count = 0};
    const char *id = NULL;
    struct options given = {.patience_ms = 10 * 60 * 1000};
    const struct ctl_option options[] = {
        CTL_CONNECTION_ROWS(&given.connection, COMPACTOR),
        CTL_RANGE_ROW("give-up-after", CTL_DURATION, "TIME", "how long it is waited for; 10m",
                      &given.patience_ms, 0, CTL_TIME_MAX_MS),
    };
    if (!ctl_options_take(command, options, MRD_ARRAY_LEN(options), count, arguments, &rest,
                          &code)) {
        return code;
    }
    return take_id(command, &rest, &id) ? work(command, &given, id, fn) : CTL_EXIT_USAGE;
}

static enum ctl_exit run_show(const struct ctl_command *command, int count, char **arguments)
{
    return run_one(command, count, arguments, show);
}

static enum ctl_exit run_verify(const struct ctl_command *command, int count, char **arguments)
{
    return run_one(command, count, arguments, verify);
}

const struct ctl_command ctl_erasure_list = {
    .words = "erasure list",
    .summary = "requests to erase, and receipts of those that are done",
    .help = "mrdctl erasure list --url URL [--tenant NAME]\n\n"
            "Lists what a region was asked to erase and has not done yet, with what each request "
            "waits for, and\n"
            "the receipts of those that are done.",
    .run = run_list,
};

const struct ctl_command ctl_erasure_show = {
    .words = "erasure show",
    .summary = "one request to erase: how far it is, or its receipt",
    .help = "mrdctl erasure show --url URL ID\n\n"
            "Says of one request to erase how far it is, or what its receipt says.",
    .run = run_show,
};

const struct ctl_command ctl_erasure_verify = {
    .words = "erasure verify",
    .summary = "whether what a receipt says is so",
    .help = "mrdctl erasure verify --url URL ID\n\n"
            "Has a compactor hold a receipt to object storage: it must be in the catalog, the "
            "request itself\n"
            "must be gone, and so must every file that may have had something of it, is older than "
            "the receipt\n"
            "and has no name in the catalog. Names those that are still there, and ends with 1 if "
            "there are any.",
    .run = run_verify,
};
