"""Text or SSML said by Amazon Polly or by espeak-ng, as sound that phone systems take."""
