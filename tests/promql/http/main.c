/* meridian-promql-scripts: runs PromQL test scripts against a running system. */
#include <curl/curl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_target.h"
#include "promqltest/script.h"

static const char USAGE[] =
    "meridian-promql-scripts --push-url URL --query-url URL --tenants PREFIX [options] FILE...\n"
    "\n"
    "Runs test scripts (libs/promqltest/script.h) against a running system, over HTTP.\n"
    "\n"
    "  --push-url URL            of remote write\n"
    "  --query-url URL           what stands before /api/v1\n"
    "  --tenants PREFIX          how the names of the tenants begin that the scripts use; new for "
    "each run\n"
    "  --delayed-name-removal    the queriers have promql-delayed-name-removal on\n"
    "  --type-and-unit-labels    the queriers have type-and-unit-labels on\n"
    "\n"
    "Evaluations that want these features otherwise are skipped. Prints what failed and a line\n"
    "\"N evaluations, N failed, N skipped\"; exits with 1 if any failed.\n";

static bool read_file(const char *path, struct mrd_buf *out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    uint8_t page[4096];
    size_t size;
    while ((size = fread(page, 1, sizeof(page), file)) > 0) {
        mrd_buf_append(out, page, size);
    }
    const bool ok = ferror(file) == 0;
    return fclose(file) == 0 && ok;
}

static bool run_file(struct script_target *target, const char *path,
                     struct mrd_script_report *report)
{
    struct mrd_buf text = {0};
    struct mrd_error err = {0};
    bool ok = read_file(path, &text);
    if (!ok) {
        fprintf(stderr, "%s can not be read\n", path);
    } else if (mrd_script_run_on(target, path, mrd_buf_view(&text), report, &err) != MRD_OK) {
        fprintf(stderr, "%s\n", err.text);
        ok = false;
    }
    mrd_buf_fini(&text);
    return ok;
}

static bool read_options(int argc, char **argv, struct http_target_options *out)
{
    static const struct option known[] = {
        {"push-url",             required_argument, NULL, 'p'},
        {"query-url",            required_argument, NULL, 'q'},
        {"tenants",              required_argument, NULL, 't'},
        {"delayed-name-removal", no_argument,       NULL, 'd'},
        {"type-and-unit-labels", no_argument,       NULL, 'u'},
        {NULL,                   0,                 NULL, 0  }
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'p':
            out->push_url = optarg;
            break;
        case 'q':
            out->query_url = optarg;
            break;
        case 't':
            out->tenants = optarg;
            break;
        case 'd':
            out->delayed_name_removal = true;
            break;
        case 'u':
            out->type_and_unit_labels = true;
            break;
        default:
            return false;
        }
    }
    return out->push_url != NULL && out->query_url != NULL && out->tenants != NULL && optind < argc;
}

int main(int argc, char **argv)
{
    struct http_target_options options = {0};
    if (!read_options(argc, argv, &options)) {
        fputs(USAGE, stderr);
        return 2;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct script_target *target = http_target_create(&options);
    struct mrd_script_report report = {0};
    bool ok = true;
    for (int i = optind; i < argc; i++) {
        ok &= run_file(target, argv[i], &report);
    }
    printf("%.*s%zu evaluations, %zu failed, %zu skipped\n", MRD_FMT(mrd_buf_view(&report.text)),
           report.evals, report.failures, report.skipped);
    ok &= report.failures == 0 && report.evals > report.skipped;
    mrd_buf_fini(&report.text);
    http_target_destroy(&target);
    curl_global_cleanup();
    return ok ? 0 : 1;
}
