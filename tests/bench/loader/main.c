/* meridian-bench-load: sends deterministic synthetic series by remote write and measures. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/expected.h"
#include "loader/run.h"

static atomic_bool stop_requested;

static void on_signal(int signal_number)
{
    (void)signal_number;
    atomic_store_explicit(&stop_requested, true, memory_order_relaxed);
}

static enum mrd_status read_file(const char *path, struct mrd_buf *out, struct mrd_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return mrd_fail_errno(err, MRD_E_NOT_FOUND, "%s: open", path);
    }
    char part[65536];
    size_t size = 0;
    while ((size = fread(part, 1, sizeof(part), file)) > 0) {
        mrd_buf_append(out, part, size);
    }
    fclose(file);
    return MRD_OK;
}

static enum mrd_status print_expected(const struct load_options *options, struct mrd_error *err)
{
    if (options->verify_path == NULL) {
        return load_expected_print(options, NULL, stdout, err);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf list = {0};
    MRD_TRY(read_file(options->verify_path, &list, err));
    const struct mrd_bytes text = mrd_buf_view(&list);
    return load_expected_print(options, &text, stdout, err);
}

static enum mrd_status run(const struct load_options *options, struct mrd_error *err)
{
    struct load_results *results = calloc(1, sizeof(*results));
    mrd_assert(results != NULL);
    const enum mrd_status status =
        load_run(options, mrd_clock_system(), &stop_requested, results, err);
    if (status == MRD_OK) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf text = {0};
        load_results_print(results, options, &text);
        (void)fwrite(text.data, 1, text.size, stdout);
    }
    free(results);
    return status;
}

int main(int argc, char **argv)
{
    struct load_options options;
    struct mrd_error err = {0};
    const struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    enum mrd_status status =
        load_options_parse(argc, argv, mrd_clock_now_ms(mrd_clock_system()), &options, &err);
    if (status == MRD_OK) {
        switch (options.action) {
        case LOAD_ACTION_HELP:
            fputs(load_options_help, stdout);
            break;
        case LOAD_ACTION_PRINT_EXPECTED:
            status = print_expected(&options, &err);
            break;
        case LOAD_ACTION_RUN:
            status = run(&options, &err);
            break;
        }
    }
    if (status != MRD_OK) {
        fprintf(stderr, "meridian-bench-load: %s\n", err.text);
        return 1;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
