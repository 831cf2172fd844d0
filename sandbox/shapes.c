/*
 * shapes.c
 *	  The failure answers a client of MyFatoorah must survive, ready made.
 *
 * README.md lists them by number. Where no source knows the HTTP status (2, 3,
 * 7, 9, 11) one is chosen here; a rule may set another.
 */
#include "shapes.h"

#include <stddef.h>

#define JSON "application/json; charset=utf-8"

static const FailureShape shapes[] = {
	{400, JSON,
	 "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":"
	 "[{\"Name\":\"InvoiceValue\",\"Error\":\"Invoice value must be more than 0\"}],\"Data\":null}"},
	{400, JSON,
	 "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"FieldsErrors\":"
	 "[{\"Name\":\"InvoiceValue\",\"Error\":\"Invoice value must be more than 0\"}],\"Data\":null}"},
	{400, JSON,
	 "{\"IsSuccess\":false,\"Message\":\"\",\"ValidationErrors\":null,"
	 "\"Data\":{\"ErrorMessage\":\"The invoice could not be created\"}}"},
	{400, JSON,
	 "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":"
	 "[{\"Name\":\"invoiceCreate.InvoiceItems\",\"Error\":\"\"}],\"Data\":null}"},
	{404, JSON,
	 "{\"Message\":\"No HTTP resource was found that matches the request URI "
	 "'https://apitest.myfatoorah.com/v2/SendPayment222'.\",\"MessageDetail\":\"No route providing "
	 "a controller name was found to match request URI 'https://apitest.myfatoorah.com/v2/SendPayment222'\"}"},
	{403, "text/html",
	 "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n"
	 "<center><h1>403 Forbidden</h1></center><hr><center>Microsoft-Azure-Application-Gateway/v2"
	 "</center>\r\n</body>\r\n</html>\r\n"},
	{401, JSON, ""},
	{401, JSON,
	 "{\"IsSuccess\":false,\"Message\":\"The token does not have the required permissions!\","
	 "\"ValidationErrors\":null,\"Data\":null}"},
	{400, JSON, "\"Exception: You are not Authorized to use API.\""},
	{400, JSON,
	 "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":"
	 "[{\"Name\":\"RecurringId\",\"Error\":\"The recurring is not found\"}],\"Data\":false}"},
	{429, JSON, "{\"Message\":\"API calls quota exceeded! maximum admitted 1 per Second.\"}"},
	{400, JSON,
	 "{\"IsSuccess\":false,\"Message\":\"No data match the provided values\","
	 "\"ValidationErrors\":null,\"Data\":null}"},
};

/*
 * failure_shape
 *		The answer with that number (1 to 12), or NULL.
 */
const FailureShape *
failure_shape(int number)
{
	if (number < 1 || number > (int) (sizeof(shapes) / sizeof(shapes[0])))
		return NULL;
	return &shapes[number - 1];
}
