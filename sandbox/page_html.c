/*
 * page_html.c
 *	  The HTML of the invoice pages, in English and Arabic: self-contained, no
 *	  script, everything escaped that somebody sent.
 */
#include "page_html.h"

#include "status.h"

#define HOME_INVOICES 100

typedef enum Text
{
	T_LANG,
	T_DIR,
	T_BANNER,
	T_INVOICE,
	T_AMOUNT,
	T_CUSTOMER,
	T_REFERENCE,
	T_EMAIL,
	T_MOBILE,
	T_CREATED,
	T_EXPIRES,
	T_ITEMS,
	T_ITEM,
	T_QUANTITY,
	T_PRICE,
	T_TOTAL,
	T_TRIES,
	T_NO_TRIES,
	T_WHEN,
	T_GATEWAY,
	T_RESULT,
	T_PAYMENT_ID,
	T_PENDING,
	T_PAID,
	T_CANCELED,
	T_EXPIRED,
	T_CHOOSE,
	T_PAY,
	T_OUTCOMES,
	T_REASON,
	T_FAIL,
	T_LEAVE,
	T_LEAVE_HELP,
	T_PAY_AGAIN,
	T_PAY_AGAIN_HELP,
	T_IN_PROGRESS,
	T_SUCCEEDED,
	T_FAILED,
	T_RELEASED,
	T_AUTHORIZED,
	T_BACK,
	T_NO_ADDRESS,
	TEXT_COUNT
} Text;

static const char *const texts[2][TEXT_COUNT] =
	{{"en",
	  "ltr",
	  "Sandbox: no real money moves here",
	  "Invoice",
	  "Amount due",
	  "Customer",
	  "Reference",
	  "E-mail",
	  "Mobile",
	  "Created",
	  "Expires",
	  "Items",
	  "Item",
	  "Quantity",
	  "Unit price",
	  "Total",
	  "Payment tries",
	  "Nobody has tried to pay yet.",
	  "Time",
	  "Method",
	  "Result",
	  "Payment id",
	  "Pending",
	  "Paid",
	  "Canceled",
	  "Expired",
	  "Payment method",
	  "Pay",
	  "Other outcomes",
	  "Reason",
	  "Let the payment fail",
	  "Walk away",
	  "Walking away leaves a try in progress; nobody is redirected.",
	  "Pay again",
	  "The invoice is paid. Paying again makes a duplicate payment.",
	  "In progress",
	  "Succeeded",
	  "Failed",
	  "Released",
	  "Authorised",
	  "Back to the invoice",
	  "The invoice gave no address to return to, so you stay here."},
	 {"ar",
	  "rtl",
	  "بيئة تجريبية: لا تتم هنا أي عملية دفع حقيقية",
	  "فاتورة",
	  "المبلغ المستحق",
	  "العميل",
	  "المرجع",
	  "البريد الإلكتروني",
	  "الهاتف",
	  "تاريخ الإنشاء",
	  "تاريخ الانتهاء",
	  "البنود",
	  "البند",
	  "الكمية",
	  "سعر الوحدة",
	  "الإجمالي",
	  "محاولات الدفع",
	  "لم يحاول أحد الدفع بعد.",
	  "الوقت",
	  "طريقة الدفع",
	  "النتيجة",
	  "رقم الدفع",
	  "قيد الانتظار",
	  "مدفوعة",
	  "ملغاة",
	  "منتهية",
	  "طريقة الدفع",
	  "ادفع",
	  "نتائج أخرى",
	  "السبب",
	  "اجعل الدفع يفشل",
	  "غادر الصفحة",
	  "المغادرة تترك محاولة قيد التنفيذ دون أي تحويل.",
	  "ادفع مرة أخرى",
	  "الفاتورة مدفوعة. الدفع مرة أخرى ينشئ دفعة مكررة.",
	  "قيد التنفيذ",
	  "ناجحة",
	  "فاشلة",
	  "محررة",
	  "مصرح بها",
	  "العودة إلى الفاتورة",
	  "لم تحدد الفاتورة عنوانا للعودة، لذلك تبقى هنا."}};

static const char *const error_choices[][2] = {
	{"MF001", "3-D Secure failed"},
	{"MF002", "declined by the issuer"},
	{"MF003", "blocked by the gateway"},
	{"MF004", "insufficient funds"},
	{"MF005", "session timeout"},
	{"MF006", "canceled by the payer"},
	{"MF007", "card expired"},
	{"MF008", "issuer does not answer"},
	{"MF009", "denied by risk"},
	{"MF010", "wrong security code"},
	{"MF020", "unspecified"},
};

static const char style[] =
	"<style>"
	":root{color-scheme:light dark;--bg:#f3f5f8;--card:#fff;--ink:#1a2433;--dim:#566275;--line:#dde3ea;"
	"--accent:#0b5cad;--ok:#14713d;--bad:#b3261e;--wait:#8a5300}"
	"@media(prefers-color-scheme:dark){:root{--bg:#11161d;--card:#1b232d;--ink:#e8edf3;--dim:#a3b0c0;"
	"--line:#334050;--accent:#7db7f5;--ok:#6fd197;--bad:#ff9a91;--wait:#f3bd63}}"
	"*{box-sizing:border-box}"
	"body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,'Segoe UI',Roboto,"
	"'Noto Sans','Noto Sans Arabic',Tahoma,sans-serif}"
	".banner{background:#23303f;color:#fff;text-align:center;padding:.5rem 1rem;font-size:.875rem}"
	"main{max-width:44rem;margin:2rem auto;padding:0 1rem}"
	".card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:1.5rem;"
	"margin-bottom:1.25rem;box-shadow:0 1px 3px rgba(10,25,45,.07)}"
	"h1{font-size:1rem;font-weight:600;color:var(--dim);margin:0}"
	"h2{font-size:1.05rem;margin:0 0 .75rem}"
	".top{display:flex;justify-content:space-between;align-items:center;gap:1rem}"
	".amount{font-size:2.5rem;font-weight:700;line-height:1.2;margin:.25rem 0 1rem}"
	".pill{border:1.5px solid currentColor;border-radius:999px;padding:.1rem .8rem;font-weight:600;"
	"font-size:.875rem;color:var(--wait);white-space:nowrap}"
	".ok{color:var(--ok)}.bad{color:var(--bad)}"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1.25rem;margin:0}"
	"dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}"
	".scroll{overflow-x:auto}"
	"table{width:100%;border-collapse:collapse}"
	"th,td{text-align:start;padding:.45rem .6rem .45rem 0;border-bottom:1px solid var(--line);vertical-align:top}"
	"th{color:var(--dim);font-weight:600;font-size:.875rem}"
	".num{text-align:end;font-variant-numeric:tabular-nums}"
	"fieldset{border:0;padding:0;margin:0 0 1rem}legend{padding:0;margin-bottom:.5rem;font-weight:600}"
	".choice{display:flex;gap:.75rem;flex-wrap:wrap}"
	".choice label{border:1px solid var(--line);border-radius:10px;padding:.6rem 1rem;flex:1;cursor:pointer}"
	".choice label:has(:checked){border-color:var(--accent);outline:1px solid var(--accent)}"
	"button{font:inherit;font-weight:600;border-radius:10px;border:1px solid var(--line);background:var(--card);"
	"color:var(--ink);padding:.65rem 1.1rem;cursor:pointer}"
	"button.main{width:100%;background:#0b5cad;border-color:#0b5cad;color:#fff;font-size:1.125rem}"
	"button:hover{filter:brightness(1.08)}"
	":focus-visible{outline:3px solid var(--accent);outline-offset:2px}"
	"select{font:inherit;padding:.6rem;border-radius:10px;border:1px solid var(--line);background:var(--card);"
	"color:var(--ink);max-width:100%}"
	".row{display:flex;gap:.75rem;flex-wrap:wrap;align-items:end}.row label{flex:1}"
	".row label span{display:block;font-size:.875rem;color:var(--dim)}"
	".help,.dim{color:var(--dim);font-size:.875rem;margin:.5rem 0 0}"
	".notice{border-inline-start:4px solid var(--bad);padding:.5rem 1rem;margin:0 0 1rem;background:var(--bg)}"
	"details summary{cursor:pointer;font-weight:600}details[open] summary{margin-bottom:1rem}"
	"a{color:var(--accent)}code{font-size:.9em;overflow-wrap:anywhere}"
	"</style>";

/*
 * page_texts
 *		The words in the invoice's language.
 */
static const char *const *
page_texts(const Invoice *inv)
{
	return texts[inv != NULL && inv->data.arabic ? 1 : 0];
}

/*
 * put_head, put_foot
 *		What every page begins and ends with.
 */
static void
put_head(Buf *b, const char *const *t, const char *title, int64_t id)
{
	buf_reserve(b, 12000);
	buf_printf(b,
			   "<!DOCTYPE html>\n<html lang=\"%s\" dir=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n"
			   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
			   "<meta name=\"robots\" content=\"noindex\">\n<title>%s",
			   t[T_LANG], t[T_DIR], title);
	if (id > 0)
		buf_printf(b, " %lld", (long long) id);
	buf_puts(b, "</title>\n");
	buf_puts(b, style);
	buf_printf(b, "\n</head>\n<body>\n<p class=\"banner\" style=\"margin:0\">%s</p>\n<main>\n", t[T_BANNER]);
}

static void
put_foot(Buf *b)
{
	buf_puts(b, "</main>\n</body>\n</html>\n");
}

/*
 * put_money
 *		12,345.000 KWD, kept together and left to right in any script.
 */
static void
put_money(Buf *b, Decimal value, const Currency *currency)
{
	buf_puts(b, "<bdi dir=\"ltr\">");
	buf_put_grouped(b, value);
	buf_printf(b, " %s</bdi>", currency->iso);
}

/*
 * put_time
 *		A local time a machine can read too.
 */
static void
put_time(Buf *b, Ticks at)
{
	buf_puts(b, "<time datetime=\"");
	buf_put_datetime(b, at, 3);
	buf_puts(b, "+03:00\"><bdi dir=\"ltr\">");
	buf_put_english_date(b, at);
	buf_putc(b, ' ');
	buf_put_clock_time(b, at - local_time(at).tick, 0);
	buf_puts(b, "</bdi></time>");
}

/*
 * put_status
 *		Where the invoice stands, as a label.
 */
static void
put_status(Buf *b, const Invoice *inv, const char *const *t)
{
	if (store_is_paid(inv))
		buf_printf(b, "<span class=\"pill ok\">%s</span>", t[T_PAID]);
	else if (strcmp(inv->status, "Canceled") == 0)
		buf_printf(b, "<span class=\"pill bad\">%s</span>", t[T_CANCELED]);
	else if (store_is_expired(inv))
		buf_printf(b, "<span class=\"pill bad\">%s</span>", t[T_EXPIRED]);
	else
		buf_printf(b, "<span class=\"pill\">%s</span>", t[T_PENDING]);
}

/*
 * put_detail
 *		A name and a text, unless there is none.
 */
static void
put_detail(Buf *b, const char *name, Str value)
{
	if (value.len == 0)
		return;
	buf_printf(b, "<dt>%s</dt><dd><bdi>", name);
	buf_put_html(b, value);
	buf_puts(b, "</bdi></dd>\n");
}

/*
 * try_text, try_class
 *		How a try ended, in words and as a colour.
 */
static const char *
try_text(const PaymentTry *p, const char *const *t)
{
	static const Text words[] = {T_IN_PROGRESS, T_SUCCEEDED, T_FAILED, T_RELEASED, T_AUTHORIZED};

	return t[words[p->status]];
}

static const char *
try_class(const PaymentTry *p)
{
	return p->status == TRY_SUCCESS || p->status == TRY_AUTHORIZED ? "ok"
		   : p->status == TRY_IN_PROGRESS                          ? "dim"
																   : "bad";
}

/*
 * put_items
 *		The table of items, if there are any.
 */
static void
put_items(Buf *b, const Invoice *inv, const char *const *t)
{
	if (inv->data.item_count == 0)
		return;
	buf_printf(b,
			   "<section class=\"card\"><h2>%s</h2>\n<div class=\"scroll\"><table>\n<thead><tr>"
			   "<th scope=\"col\">%s</th><th scope=\"col\" class=\"num\">%s</th>"
			   "<th scope=\"col\" class=\"num\">%s</th></tr></thead>\n<tbody>\n",
			   t[T_ITEMS], t[T_ITEM], t[T_QUANTITY], t[T_PRICE]);
	for (int i = 0; i < inv->data.item_count; i++)
	{
		const Item *item = &inv->data.items[i];

		buf_puts(b, "<tr><td><bdi>");
		buf_put_html(b, item->name);
		buf_printf(b, "</bdi></td><td class=\"num\">%lld</td><td class=\"num\">", (long long) item->quantity);
		put_money(b, item->unit_price, inv->data.currency);
		buf_puts(b, "</td></tr>\n");
	}
	buf_printf(b, "<tr><th scope=\"row\" colspan=\"2\">%s</th><td class=\"num\"><strong>", t[T_TOTAL]);
	put_money(b, inv->data.display_value, inv->data.currency);
	buf_puts(b, "</strong></td></tr>\n</tbody></table></div></section>\n");
}

/*
 * put_tries
 *		The table of tries so far.
 */
static void
put_tries(Buf *b, const Invoice *inv, const char *const *t)
{
	buf_printf(b, "<section class=\"card\"><h2>%s</h2>\n", t[T_TRIES]);
	if (inv->tries == NULL)
	{
		buf_printf(b, "<p class=\"dim\">%s</p></section>\n", t[T_NO_TRIES]);
		return;
	}
	buf_printf(b,
			   "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">%s</th><th scope=\"col\">%s</th>"
			   "<th scope=\"col\">%s</th><th scope=\"col\">%s</th></tr></thead>\n<tbody>\n",
			   t[T_WHEN], t[T_GATEWAY], t[T_RESULT], t[T_PAYMENT_ID]);
	for (const PaymentTry *p = inv->tries; p != NULL; p = p->next)
	{
		buf_puts(b, "<tr><td>");
		put_time(b, p->at);
		buf_printf(b, "</td><td>%s</td><td class=\"%s\">%s", gateway_name(p->gateway), try_class(p),
				   try_text(p, t));
		if (p->error != NULL)
		{
			buf_puts(b, "<br><small><bdi dir=\"ltr\">");
			buf_put_html(b, str_of(p->error));
			if (p->error_code[0] != '\0')
				buf_printf(b, " (%s)", p->error_code);
			buf_puts(b, "</bdi></small>");
		}
		buf_printf(b, "</td><td><code>%s</code></td></tr>\n", p->payment_id);
	}
	buf_puts(b, "</tbody></table></div></section>\n");
}

/*
 * put_gateways
 *		The choice of a payment method.
 */
static void
put_gateways(Buf *b, const Invoice *inv, const char *const *t)
{
	buf_printf(b,
			   "<fieldset><legend>%s</legend><div class=\"choice\">\n"
			   "<label><input type=\"radio\" name=\"gateway\" value=\"KNET\"%s> KNET</label>\n"
			   "<label><input type=\"radio\" name=\"gateway\" value=\"CARD\"%s> VISA / MASTER</label>\n"
			   "</div></fieldset>\n",
			   t[T_CHOOSE], inv->data.card_first ? "" : " checked", inv->data.card_first ? " checked" : "");
}

/*
 * put_pay_form
 *		Pay, fail, walk away. Addresses are relative, so that the pages also
 *		work behind another public address.
 */
static void
put_pay_form(Buf *b, const Invoice *inv, const char *base, const char *const *t)
{
	const char *self = strrchr(inv->url_path, '/') + 1;

	buf_printf(b, "<form class=\"card\" method=\"post\" action=\"%s%s/pay\">\n", base, self);
	put_gateways(b, inv, t);
	buf_printf(b, "<button class=\"main\" type=\"submit\">%s ", t[T_PAY]);
	put_money(b, inv->data.display_value, inv->data.currency);
	buf_printf(
		b,
		"</button>\n<h2 style=\"margin:1.5rem 0 .5rem\">%s</h2>\n<div class=\"row\">\n<label><span>%s</span>"
		"<select name=\"error_code\">\n",
		t[T_OUTCOMES], t[T_REASON]);
	for (size_t i = 0; i < sizeof(error_choices) / sizeof(error_choices[0]); i++)
		buf_printf(b, "<option value=\"%s\">%s %s</option>\n", error_choices[i][0], error_choices[i][0],
				   error_choices[i][1]);
	buf_printf(b,
			   "</select></label>\n<button type=\"submit\" formaction=\"%s%s/fail\">%s</button>\n"
			   "<button type=\"submit\" formaction=\"%s%s/leave\">%s</button>\n</div>\n"
			   "<p class=\"help\">%s</p>\n</form>\n",
			   base, self, t[T_FAIL], base, self, t[T_LEAVE], t[T_LEAVE_HELP]);
}

/*
 * put_again_form
 *		The way to a duplicate payment, folded away.
 */
static void
put_again_form(Buf *b, const Invoice *inv, const char *base, const char *const *t)
{
	buf_printf(b,
			   "<details class=\"card\"><summary>%s</summary>\n<p class=\"dim\">%s</p>\n"
			   "<form method=\"post\" action=\"%s%s/pay\">\n"
			   "<input type=\"hidden\" name=\"duplicate\" value=\"1\">\n",
			   t[T_PAY_AGAIN], t[T_PAY_AGAIN_HELP], base, strrchr(inv->url_path, '/') + 1);
	put_gateways(b, inv, t);
	buf_printf(b, "<button type=\"submit\">%s</button>\n</form></details>\n", t[T_PAY_AGAIN]);
}

/*
 * html_invoice
 *		The page of an invoice, with a notice on top if there is one. base leads
 *		from the address asked for to the page's directory: "" or "../". Locked.
 */
void
html_invoice(Buf *b, const Invoice *inv, const char *base, const char *notice)
{
	const char *const *t = page_texts(inv);
	const InvoiceData *d = &inv->data;
	bool over = store_is_expired(inv) || strcmp(inv->status, "Canceled") == 0;

	put_head(b, t, t[T_INVOICE], inv->id);
	if (notice != NULL)
	{
		buf_puts(b, "<p class=\"notice\" role=\"alert\">");
		buf_put_html(b, str_of(notice));
		buf_puts(b, "</p>\n");
	}
	buf_printf(b, "<section class=\"card\"><div class=\"top\"><h1>%s <bdi>%lld</bdi></h1>", t[T_INVOICE],
			   (long long) inv->id);
	put_status(b, inv, t);
	buf_printf(b, "</div>\n<p class=\"dim\">%s</p><p class=\"amount\" style=\"margin-top:0\">", t[T_AMOUNT]);
	put_money(b, d->display_value, d->currency);
	buf_puts(b, "</p>\n<dl>\n");
	put_detail(b, t[T_CUSTOMER], d->customer_name);
	put_detail(b, t[T_REFERENCE], d->reference);
	put_detail(b, t[T_EMAIL], d->customer_email);
	put_detail(b, t[T_MOBILE], d->customer_mobile);
	buf_printf(b, "<dt>%s</dt><dd>", t[T_CREATED]);
	put_time(b, inv->created);
	buf_printf(b, "</dd>\n<dt>%s</dt><dd>", t[T_EXPIRES]);
	put_time(b, inv->expiry);
	buf_puts(b, "</dd>\n</dl></section>\n");
	put_items(b, inv, t);
	if (store_is_paid(inv))
	{
		if (!over)
			put_again_form(b, inv, base, t);
	}
	else if (!over)
		put_pay_form(b, inv, base, t);
	put_tries(b, inv, t);
	put_foot(b);
}

/*
 * html_result
 *		What the payer sees who is not sent anywhere. Locked.
 */
void
html_result(Buf *b, const Invoice *inv, const PaymentTry *p)
{
	const char *const *t = page_texts(inv);

	put_head(b, t, t[T_INVOICE], inv->id);
	buf_printf(b,
			   "<section class=\"card\"><h1>%s <bdi>%lld</bdi></h1>\n<p class=\"amount %s\">%s</p>\n<dl>\n",
			   t[T_INVOICE], (long long) inv->id, try_class(p), try_text(p, t));
	if (p->error != NULL)
		put_detail(b, t[T_REASON], str_of(p->error));
	put_detail(b, t[T_GATEWAY], str_of(gateway_name(p->gateway)));
	put_detail(b, t[T_PAYMENT_ID], str_of(p->payment_id));
	put_detail(b, t[T_REFERENCE], inv->data.reference);
	buf_printf(b, "</dl>\n<p class=\"help\">%s</p>\n<p><a href=\"../%s\">%s</a></p></section>\n",
			   p->status == TRY_IN_PROGRESS ? t[T_LEAVE_HELP] : t[T_NO_ADDRESS],
			   strrchr(inv->url_path, '/') + 1, t[T_BACK]);
	put_foot(b);
}

/*
 * html_not_found
 *		There is no such invoice.
 */
void
html_not_found(Buf *b)
{
	put_head(b, texts[0], "Not found", 0);
	buf_puts(b, "<section class=\"card\"><h1>Not found</h1><p>There is no invoice at this address. "
				"The sandbox keeps invoices in memory only: they are gone when it stops.</p></section>\n");
	put_foot(b);
}

/*
 * html_home
 *		The newest invoices, for a person who wants to look around. Locked.
 */
void
html_home(Buf *b, const char *public_url, bool tls)
{
	const Invoice *list[HOME_INVOICES];
	int64_t n = 0;

	for (const Invoice *inv = store_oldest(); inv != NULL; inv = inv->newer)
		list[n++ % HOME_INVOICES] = inv;
	put_head(b, texts[0], "MyFatoorah sandbox", 0);
	buf_printf(b, "<section class=\"card\"><h1>MyFatoorah sandbox</h1><p>%lld invoice%s. API address: <code>",
			   (long long) n, n == 1 ? "" : "s");
	buf_put_html(b, str_of(public_url));
	buf_printf(b, "</code>%s</p>\n", tls ? " (HTTPS)" : "");
	if (n > 0)
		buf_puts(
			b,
			"<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Invoice</th>"
			"<th scope=\"col\">Customer</th><th scope=\"col\">Reference</th>"
			"<th scope=\"col\" class=\"num\">Amount</th><th scope=\"col\">Status</th></tr></thead><tbody>\n");
	for (int64_t i = n - 1; i >= 0 && i >= n - HOME_INVOICES; i--)
	{
		const Invoice *inv = list[i % HOME_INVOICES];

		buf_printf(b, "<tr><td><a href=\"%s\">%lld</a></td><td><bdi>", inv->url_path + 1,
				   (long long) inv->id);
		buf_put_html(b, inv->data.customer_name);
		buf_puts(b, "</bdi></td><td><bdi>");
		buf_put_html(b, inv->data.reference);
		buf_puts(b, "</bdi></td><td class=\"num\">");
		put_money(b, inv->data.display_value, inv->data.currency);
		buf_puts(b, "</td><td>");
		put_status(b, inv, texts[0]);
		buf_puts(b, "</td></tr>\n");
	}
	if (n > 0)
		buf_puts(b, "</tbody></table></div>");
	buf_puts(b, "</section>\n");
	put_foot(b);
}
