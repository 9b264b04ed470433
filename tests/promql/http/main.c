/* meridian-promql-scripts: runs PromQL test scripts against a running system, or in memory. */
#include <curl/curl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_target.h"
#include "promqltest/script.h"

static const char USAGE[] =
    "meridian-promql-scripts [--push-url URL --tenants PREFIX --query-url URL...] FILE...\n"
    "\n"
    "Runs test scripts (libs/promqltest/script.h): against a running system over HTTP, or without\n"
    "--push-url on the engine in memory.\n"
    "\n"
    "  --push-url URL            of remote write\n"
    "  --tenants PREFIX          how the names of the tenants begin that the scripts use; new for "
    "each run\n"
    "  --query-url URL           what stands before /api/v1, of queriers with "
    "use-start-timestamps\n"
    "  --delayed-query-url URL   the same with promql-delayed-name-removal\n"
    "  --typed-query-url URL     the same with type-and-unit-labels\n"
    "  --startless-query-url URL the same of queriers without use-start-timestamps\n"
    "  --begin-delayed           scripts begin with delayed name removal on, as Prometheus' own "
    "do\n"
    "\n"
    "Evaluations that want queriers of another kind are skipped. Prints what failed and for each\n"
    "file \"FILE: N evaluations, N failed, N skipped\". Exits with 1 if any failed, with 2 if a\n"
    "script could not be run to its end.\n";

struct options {
    struct http_target_options http;
    bool begin_delayed;
};

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

/* What to exit with. */
static int run_file(struct script_target *target, const char *path, bool begin_delayed)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    struct mrd_script_report report = {0};
    struct mrd_error err = {0};
    if (!read_file(path, &text)) {
        fprintf(stderr, "%s can not be read\n", path);
        return 2;
    }
    const enum mrd_status status =
        mrd_script_run_on(target, path, mrd_buf_view(&text), begin_delayed, &report, &err);
    printf("%.*s%s: %zu evaluations, %zu failed, %zu skipped\n",
           MRD_FMT(mrd_buf_view(&report.text)), path, report.evals, report.failures,
           report.skipped);
    mrd_buf_fini(&report.text);
    if (status != MRD_OK) {
        printf("%s: stopped: %s\n", path, err.text);
        return 2;
    }
    return report.failures > 0 ? 1 : 0;
}

static bool read_options(int argc, char **argv, struct options *out)
{
    static const struct option known[] = {
        {"push-url",            required_argument, NULL, 'p'},
        {"tenants",             required_argument, NULL, 't'},
        {"query-url",           required_argument, NULL, 'q'},
        {"delayed-query-url",   required_argument, NULL, 'd'},
        {"typed-query-url",     required_argument, NULL, 'u'},
        {"startless-query-url", required_argument, NULL, 's'},
        {"begin-delayed",       no_argument,       NULL, 'b'},
        {NULL,                  0,                 NULL, 0  }
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'p':
            out->http.push_url = optarg;
            break;
        case 't':
            out->http.tenants = optarg;
            break;
        case 'q':
            out->http.query_urls[HTTP_PLAIN] = optarg;
            break;
        case 'd':
            out->http.query_urls[HTTP_DELAYED] = optarg;
            break;
        case 'u':
            out->http.query_urls[HTTP_TYPED] = optarg;
            break;
        case 's':
            out->http.query_urls[HTTP_WITHOUT_STARTS] = optarg;
            break;
        case 'b':
            out->begin_delayed = true;
            break;
        default:
            return false;
        }
    }
    return (out->http.push_url == NULL) == (out->http.tenants == NULL) && optind < argc;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    int result = 0;
    if (!read_options(argc, argv, &options)) {
        fputs(USAGE, stderr);
        return 2;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const bool in_memory = options.http.push_url == NULL;
    struct script_target *target =
        in_memory ? script_memory_create() : http_target_create(&options.http);
    for (int i = optind; i < argc; i++) {
        result = MRD_MAX(result, run_file(target, argv[i], options.begin_delayed));
    }
    if (in_memory) {
        script_memory_destroy(&target);
    } else {
        http_target_destroy(&target);
    }
    curl_global_cleanup();
    return result;
}
