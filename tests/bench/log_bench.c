/* log_bench: the bus alone against a real nats-server: MB/s and this process' CPU for writing to the log, reading it
 * back, and a large rpc reply.
 *
 *     log_bench [batch bytes] [batches]
 */
#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>

#include "bus/log_admin.h"
#include "bus/log_reader.h"
#include "bus/log_writer.h"
#include "bus/nats_fixture.h"
#include "bus/rpc.h"

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

struct timing {
    int64_t start_ns;
    double start_cpu;
};

static struct timing timing_start(void) { return (struct timing){now_ns(), cpu_seconds()}; }

static void timing_print(struct timing timing, const char *what, size_t bytes, size_t count)
{
    const double seconds = (double)(now_ns() - timing.start_ns) * 1e-9;
    const double cpu = cpu_seconds() - timing.start_cpu;
    printf("%-8s %8.0f MB/s %8.0f a second %8.2f CPU s/GB %8.2f us CPU each\n", what,
           (double)bytes / seconds * 1e-6, (double)count / seconds, cpu / ((double)bytes * 1e-9),
           cpu * 1e6 / (double)count);
}

static void on_done(void *context, const struct mrd_log_ack *ack)
{
    atomic_fetch_add((_Atomic size_t *)context, ack->status == MRD_OK ? 1 : 0);
}

static void on_entry(void *context, struct mrd_log_entry *entry)
{
    atomic_fetch_add((_Atomic size_t *)context, 1);
    mrd_log_entry_fini(entry);
}

static void wait_for(_Atomic size_t *count, size_t want)
{
    while (atomic_load(count) < want) {
        usleep(200);
    }
}

static void bench_write(struct mrd_bus *bus, size_t size, size_t count)
{
    struct mrd_log_writer *writer = NULL;
    const struct mrd_log_writer_options options = {.partition_count = 1, .outstanding_max = 256};
    if (mrd_log_writer_create(bus, &options, &writer, NULL) != MRD_OK) {
        nats_fixture_fail("no writer");
    }
    uint8_t *payload = calloc(1, size);
    _Atomic size_t stored = 0;
    const struct timing timing = timing_start();
    for (size_t i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof(id), "bench-1-%zu", i + 1);
        const struct mrd_log_batch batch = {
            .residency_class = "de",
            .id = id,
            .payload = {payload, size},
            .deadline_ns = now_ns() + 60000000000,
            .done = on_done,
            .context = &stored
        };
        while (mrd_log_writer_publish(writer, &batch, NULL) != MRD_OK) {
            usleep(50);
        }
    }
    wait_for(&stored, count);
    timing_print(timing, "write", size * count, count);
    mrd_log_writer_destroy(&writer);
    free(payload);
}

static void bench_read(struct mrd_bus *bus, size_t size, size_t count)
{
    _Atomic size_t seen = 0;
    struct mrd_log_reader *reader = NULL;
    const struct mrd_log_reader_options options = {.on_entry = on_entry, .context = &seen};
    const struct timing timing = timing_start();
    if (mrd_log_reader_create(bus, &options, &reader, NULL) != MRD_OK) {
        nats_fixture_fail("no reader");
    }
    wait_for(&seen, count);
    timing_print(timing, "read", size * count, count);
    mrd_log_reader_destroy(&reader);
}

enum { CHUNKS = 2000 };

static enum mrd_status on_call(void *context, struct mrd_rpc_call *call, struct mrd_error *err)
{
    static uint8_t chunk[MRD_RPC_CHUNK_BYTES];
    (void)context;
    for (size_t i = 0; i < CHUNKS; i++) {
        MRD_TRY(mrd_rpc_call_send(call, (struct mrd_bytes){chunk, sizeof(chunk)}, err));
    }
    return MRD_OK;
}

static void bench_rpc(struct mrd_bus *server_bus, struct mrd_bus *client_bus)
{
    struct mrd_rpc_server *server = NULL;
    struct mrd_rpc_client *client = NULL;
    const struct mrd_rpc_server_options options = {.subject = "mrd.bench", .handle = on_call};
    if (mrd_rpc_server_create(server_bus, &options, &server, NULL) != MRD_OK ||
        mrd_bus_flush(server_bus, 5000, NULL) != MRD_OK ||
        mrd_rpc_client_create(client_bus, &client, NULL) != MRD_OK) {
        nats_fixture_fail("no rpc");
    }
    const struct timing timing = timing_start();
    struct mrd_rpc_fan *fan = mrd_rpc_fan_create(
        client, &(struct mrd_rpc_fan_options){.deadline_ns = now_ns() + 60000000000});
    size_t call = 0;
    size_t bytes = 0;
    struct mrd_rpc_event event = {0};
    if (mrd_rpc_fan_start(fan, "mrd.bench", MRD_BYTES("x"), &call, NULL) != MRD_OK) {
        nats_fixture_fail("no request");
    }
    while (mrd_rpc_fan_next(fan, &event, NULL) == MRD_OK && event.kind == MRD_RPC_CHUNK) {
        bytes += event.bytes.size;
    }
    timing_print(timing, event.kind == MRD_RPC_END ? "rpc" : "rpc FAILED", bytes, CHUNKS);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_client_destroy(&client);
    mrd_rpc_server_destroy(&server, 1000);
}

int main(int argc, char **argv)
{
    const size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 64 * 1024;
    const size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
    struct nats_fixture nats;
    nats_fixture_start(&nats);
    struct mrd_bus *publish = nats_fixture_connect(&nats);
    struct mrd_bus *consume = nats_fixture_connect(&nats);
    const struct mrd_log_config log = {
        .region = "bench", .partition_count = 1, .replicas = 1, .bytes_max = (int64_t)3 << 30};
    if (mrd_log_ensure(publish, &log, 5000, NULL) != MRD_OK) {
        nats_fixture_fail("no log");
    }
    bench_write(publish, size, count);
    bench_read(consume, size, count);
    bench_rpc(consume, publish);
    mrd_bus_close(&consume);
    mrd_bus_close(&publish);
    nats_fixture_stop(&nats);
    mrd_bus_library_close();
    return 0;
}
