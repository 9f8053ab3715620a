"""What every provider's file needs to read strangers' answers and to judge requests: values in, values out."""
