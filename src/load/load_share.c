#include "load/load_share.h"

#include <stdlib.h>

#include "base/table.h"

/* The part of `whole` for thread `number`. */
static uint64_t part(uint64_t whole, uint64_t threads, unsigned number)
{
    return whole / threads + (number < whole % threads ? 1 : 0);
}

/* Set this thread's numbers of connections and messages. Returns the number of its first
 * connection in the whole load. */
static uint32_t divide(struct load_share *share, unsigned number)
{
    const struct load_config *config = share->config;
    uint64_t before = 0;

    for (unsigned i = 0; i < number; i++) {
        before += part(config->connections, config->threads, i);
    }
    share->count = (uint32_t)part(config->connections, config->threads, number);
    share->next_address = share->next_source = (uint32_t)before;
    share->budget = config->messages == 0 ? UINT64_MAX
                                          : part(config->messages, config->threads, number);
    return (uint32_t)before;
}

static bool make_connections(struct load_share *share, uint32_t first)
{
    uint64_t pipeline = share->config->pipeline;

    share->connections = calloc(share->count, sizeof *share->connections);
    share->flights = calloc(share->count * (size_t)pipeline, sizeof *share->flights);
    if (share->connections == NULL || share->flights == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < share->count; i++) {
        share->connections[i] = (struct load_connection){
            .fd = -1,
            .state = LOAD_WAITING,
            .trouble = PROBE_TIMED_OUT, /* until it is connected */
            .stream = {.connection = first + i, .flights = share->flights + i * pipeline},
        };
    }
    share->waiting = share->count;
    return true;
}

bool load_share_open(struct load_share *share, const struct load_plan *plan,
                     unsigned number, struct load_result *result)
{
    const struct load_config *config = &plan->config->load;

    share->plan = plan;
    share->config = config;
    share->result = result;
    share->shape = (struct load_shape){
        .seed = plan->seed,
        .size = (size_t)config->size,
        .pipeline = config->pipeline,
        .connections = config->connections,
        .verify = plan->config->verify,
    };
    return make_connections(share, divide(share, number));
}

void load_share_close(struct load_share *share)
{
    table_free(&share->by_fd, share->by_fd_capacity, sizeof *share->by_fd);
    free(share->flights);
    free(share->connections);
}

bool load_share_enter(struct load_share *share, const struct load_connection *connection)
{
    size_t fd = (size_t)connection->fd, capacity = table_capacity(fd);

    if (fd >= share->by_fd_capacity) {
        if (!table_grow(&share->by_fd, share->by_fd_capacity, capacity,
                        sizeof *share->by_fd)) {
            return false;
        }
        share->by_fd_capacity = capacity;
    }
    share->by_fd[fd] = (uint32_t)(connection - share->connections) + 1;
    return true;
}

struct load_connection *load_share_find(const struct load_share *share, int fd)
{
    return &share->connections[share->by_fd[fd] - 1];
}

bool load_share_has_more(const struct load_share *share)
{
    return !share->is_stopping && share->budget > 0;
}

void load_share_count_failures(const struct load_share *share)
{
    for (uint32_t i = 0; share->budget > 0 && i < share->count; i++) {
        enum probe_outcome trouble = (enum probe_outcome)share->connections[i].trouble;

        share->result->failures[trouble] += trouble != PROBE_ECHOED ? 1 : 0;
        share->result->unconnected[trouble] += trouble != PROBE_ECHOED ? 1 : 0;
    }
}
