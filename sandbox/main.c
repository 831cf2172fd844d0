/*
 * main.c
 *	  mf-sandbox: a stand-in for the MyFatoorah API, on the loopback interface.
 */
#include "control.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define DEFAULT_KEY "SK_KWT_sandbox=KWT"
#define DEFAULT_LEDGER_LIMIT 100000
#define DEFAULT_LEDGER_BYTES (INT64_C(256) << 20)
#define DEFAULT_INVOICE_LIMIT 2000000
#define DEFAULT_WEBHOOK_LIMIT 200000

Options options = {
	.threads = 1,
	.ledger_limit = DEFAULT_LEDGER_LIMIT,
	.ledger_bytes = DEFAULT_LEDGER_BYTES,
	.invoice_limit = DEFAULT_INVOICE_LIMIT,
	.webhook_limit = DEFAULT_WEBHOOK_LIMIT,
	.seed = 1,
};

static void die(const char *what, const char *detail) __attribute__((noreturn));

/*
 * usage
 *		What --help prints.
 */
static void
usage(FILE *to)
{
	fputs("mf-sandbox is a stand-in for the MyFatoorah API. It listens on 127.0.0.1 only\n"
		  "and keeps everything in memory.\n\n"
		  "Usage: mf-sandbox [OPTION]...\n\n"
		  "  --port N               port to listen on; 0 chooses one (default 0)\n"
		  "  --port-file FILE       write the port into FILE once listening\n"
		  "  --key KEY[=COUNTRY]    accept this API key; may be repeated\n"
		  "                         (default SK_KWT_sandbox=KWT)\n"
		  "  --seed N               seed of all ids (default 1)\n"
		  "  --threads N            serving threads (default 1)\n"
		  "  --tls-cert FILE        serve HTTPS with this certificate (PEM)\n"
		  "  --tls-key FILE         and this private key (PEM)\n"
		  "  --public-url URL       start of the invoice addresses handed out\n"
		  "                         (default http://127.0.0.1:PORT)\n"
		  "  --clock-offset SECONDS shift MyFatoorah's clock\n"
		  "  --ledger-limit N       requests kept in the ledger; 0 keeps counters only\n"
		  "                         (default 100000, and at most 256 MB)\n"
		  "  --invoice-limit N      invoices kept; SendPayment refuses more (default 2000000)\n"
		  "  --webhook-url URL      send webhooks there; http:// to this machine only\n"
		  "  --webhook-version V    v1 or v2 (default v2)\n"
		  "  --webhook-secret TEXT  what they are signed with\n"
		  "  --webhook-limit N      deliveries kept in the log (default 200000)\n"
		  "  --quiet                print errors only\n"
		  "  --help                 show this help\n\n"
		  "The API, the invoice pages and the control path are described in README.md.\n",
		  to);
}

/*
 * die
 *		Report and leave.
 */
static void
die(const char *what, const char *detail)
{
	fprintf(stderr, "mf-sandbox: %s%s%s\n", what, detail != NULL ? ": " : "", detail != NULL ? detail : "");
	exit(1);
}

/*
 * integer_argument
 *		The value of a numeric option, or a complaint.
 */
static int64_t
integer_argument(const char *name, const char *text, int64_t minimum, int64_t maximum)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < minimum || value > maximum)
	{
		fprintf(stderr, "mf-sandbox: --%s must be a number from %lld to %lld, not \"%s\"\n", name,
				(long long) minimum, (long long) maximum, text);
		exit(1);
	}
	return value;
}

/*
 * read_whole_file
 *		The content of a small text file; the caller frees.
 */
static char *
read_whole_file(const char *path)
{
	FILE *f = fopen(path, "r");
	Buf b = {0};
	char chunk[4096];
	size_t n;

	if (f == NULL)
		die(path, strerror(errno));
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_put(&b, chunk, n);
	if (ferror(f))
		die(path, strerror(errno));
	fclose(f);
	buf_put(&b, "", 0);
	return b.data;
}

/*
 * write_port_file
 *		Write the port beside the file, then rename: a reader sees all or none.
 */
static void
write_port_file(const char *path, int port)
{
	Buf beside = {0};
	FILE *f;

	buf_printf(&beside, "%s.%ld.tmp", path, (long) getpid());
	f = fopen(beside.data, "w");
	if (f == NULL)
		die(beside.data, strerror(errno));
	if (fprintf(f, "%d\n", port) < 0 || fclose(f) != 0 || rename(beside.data, path) != 0)
		die(path, strerror(errno));
	buf_free(&beside);
}

/*
 * raise_descriptor_limit
 *		Use all the descriptors we may have.
 */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/*
 * default_public_url
 *		Where the pages are unless told otherwise: here.
 */
static void
default_public_url(void)
{
	snprintf(options.public_url, sizeof(options.public_url), "%s://127.0.0.1:%d",
			 options.tls ? "https" : "http", options.port);
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {{"port", required_argument, NULL, 'p'},
												 {"port-file", required_argument, NULL, 'f'},
												 {"key", required_argument, NULL, 'k'},
												 {"seed", required_argument, NULL, 's'},
												 {"threads", required_argument, NULL, 't'},
												 {"tls-cert", required_argument, NULL, 'c'},
												 {"tls-key", required_argument, NULL, 'C'},
												 {"public-url", required_argument, NULL, 'u'},
												 {"clock-offset", required_argument, NULL, 'o'},
												 {"ledger-limit", required_argument, NULL, 'l'},
												 {"invoice-limit", required_argument, NULL, 'i'},
												 {"webhook-url", required_argument, NULL, 'w'},
												 {"webhook-version", required_argument, NULL, 'V'},
												 {"webhook-secret", required_argument, NULL, 'S'},
												 {"webhook-limit", required_argument, NULL, 'L'},
												 {"quiet", no_argument, NULL, 'q'},
												 {"help", no_argument, NULL, 'h'},
												 {NULL, 0, NULL, 0}};
	const char *port_file = NULL;
	const char *webhook_url = NULL;
	const char *webhook_version = NULL;
	const char *webhook_secret = NULL;
	char *certificate = NULL;
	char *key = NULL;
	bool have_key = false;
	sigset_t signals;
	int signal_number;
	int c;
	int listener;
	struct MHD_Daemon *daemon;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
	{
		switch (c)
		{
			case 'p':
				options.port = (int) integer_argument("port", optarg, 0, 65535);
				break;
			case 'f':
				port_file = optarg;
				break;
			case 'k':
				if (!store_add_key(optarg))
					die("not a key with a known country", "--key");
				have_key = true;
				break;
			case 's':
				options.seed = (uint64_t) integer_argument("seed", optarg, 0, INT64_MAX);
				break;
			case 't':
				options.threads = (int) integer_argument("threads", optarg, 1, 64);
				break;
			case 'c':
				certificate = read_whole_file(optarg);
				break;
			case 'C':
				key = read_whole_file(optarg);
				break;
			case 'u':
				if (strlen(optarg) >= sizeof(options.public_url))
					die("--public-url is too long", NULL);
				strcpy(options.public_url, optarg);
				while (options.public_url[0] != '\0' &&
					   options.public_url[strlen(options.public_url) - 1] == '/')
					options.public_url[strlen(options.public_url) - 1] = '\0';
				break;
			case 'o':
				options.clock_offset =
					integer_argument("clock-offset", optarg, -INT64_C(10000000000), INT64_C(10000000000));
				break;
			case 'l':
				options.ledger_limit = integer_argument("ledger-limit", optarg, 0, INT64_C(100000000));
				break;
			case 'i':
				options.invoice_limit = integer_argument("invoice-limit", optarg, 1, INT64_C(1000000000));
				break;
			case 'w':
				webhook_url = optarg;
				break;
			case 'V':
				webhook_version = optarg;
				break;
			case 'S':
				webhook_secret = optarg;
				break;
			case 'L':
				options.webhook_limit = integer_argument("webhook-limit", optarg, 1, INT64_C(100000000));
				break;
			case 'q':
				options.quiet = true;
				break;
			case 'h':
				usage(stdout);
				return 0;
			default:
				fputs("Try mf-sandbox --help.\n", stderr);
				return 1;
		}
	}
	if (optind < argc)
		die("unexpected argument", argv[optind]);
	if ((certificate == NULL) != (key == NULL))
		die("--tls-cert and --tls-key go together", NULL);
	if (!webhook_init(webhook_url, webhook_version, webhook_secret))
		die("--webhook-url must be http:// to this machine, --webhook-version v1 or v2", NULL);
	if (!have_key)
		store_add_key(DEFAULT_KEY);
	options.tls = certificate != NULL;

	/* All threads inherit the mask; this one waits for the end. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);

	raise_descriptor_limit();
	listener = http_listen(&options.port);
	if (listener < 0)
		die("cannot listen on 127.0.0.1", strerror(errno));
	if (options.public_url[0] == '\0')
		default_public_url();
	clock_set_offset(options.clock_offset);
	store_set_limit(options.invoice_limit);
	ledger_init(options.ledger_limit, DEFAULT_LEDGER_BYTES);
	webhook_log_limit(options.webhook_limit);
	webhook_reset();
	webhook_start_ids(options.seed);
	refund_start_ids(options.seed);
	deposit_start_ids(options.seed);
	recurring_start_ids(options.seed);
	accounts_reset();
	store_start_ids(options.seed);
	timers_start();
	sender_start();
	daemon = http_start(listener, certificate, key);
	if (daemon == NULL)
		die("cannot start; is the certificate good?", NULL);
	if (port_file != NULL)
		write_port_file(port_file, options.port);
	if (!options.quiet)
	{
		printf("mf-sandbox listening on %s://127.0.0.1:%d\n", options.tls ? "https" : "http", options.port);
		fflush(stdout);
	}

	while (sigwait(&signals, &signal_number) != 0)
		;
	sender_stop();
	timers_stop();
	wire_stop();
	MHD_stop_daemon(daemon);
	store_lock();
	bulk_stop();
	faults_clear();
	ledger_reset();
	webhook_reset();
	webhook_end();
	refund_reset();
	deposit_reset();
	recurring_reset();
	idempotency_reset();
	store_reset();
	store_unlock();
	free(certificate);
	free(key);
	return 0;
}
